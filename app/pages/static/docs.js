// Swagger UI without anything that leaves this host: no validator badge, no
// field for another document's address.
window.ui = SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#ui",
  deepLinking: false, // its links would be inside of buttons
  validatorUrl: null,
  queryConfigEnabled: false,
  displayRequestDuration: true,
  docExpansion: "list",
  defaultModelsExpandDepth: 0,
  tryItOutEnabled: true,
  filter: true,
});

// What Swagger UI leaves out for those who hear the page: the level of its headings, which leave
// one out, and names of its controls.
const names = { "#servers": "Server", ".operation-filter-input": "Filter by tag", ".content-type": "Media type", ".examples-select-element": "Example" };
const parts = { ".information-container": "About the API", ".scheme-container": "Server and credentials", ".filter": "Filter" };
function complete() {
  for (const [which, name] of Object.entries(parts)) {
    for (const part of document.querySelectorAll(`${which}:not([role])`)) {
      part.setAttribute("role", "region");
      part.setAttribute("aria-label", name);
    }
  }
  for (const heading of document.querySelectorAll(".models h4:not([aria-level])")) heading.setAttribute("aria-level", "2");
  for (const heading of document.querySelectorAll("h3.opblock-tag:not([aria-level])")) heading.setAttribute("aria-level", "2");
  for (const heading of document.querySelectorAll(".opblock h4:not([aria-level])")) heading.setAttribute("aria-level", "3");
  for (const heading of document.querySelectorAll(".opblock h5:not([aria-level])")) heading.setAttribute("aria-level", "4");
  for (const [which, name] of Object.entries(names)) {
    for (const control of document.querySelectorAll(`${which}:not([aria-label])`)) control.setAttribute("aria-label", name);
  }
}
new MutationObserver(complete).observe(document.getElementById("ui"), { childList: true, subtree: true });

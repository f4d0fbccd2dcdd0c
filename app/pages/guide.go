package pages

import (
	"bytes"
	"fmt"
	"html"
	"path"
	"strings"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	east "github.com/yuin/goldmark/extension/ast"
	"github.com/yuin/goldmark/parser"
	"github.com/yuin/goldmark/text"
)

// Chapter is one Markdown file of the guide.
type Chapter struct {
	Name string // the path by which other chapters link to it
	Body []byte
}

// book renders chapters into one page. Headings are one level lower on the page than in their file.
// Raw HTML in a chapter is left out.
type book struct {
	markdown       goldmark.Markdown
	ids            parser.IDs        // of all headings of the page, so that they stay unique
	starts         map[string]string // the id of the first heading of each chapter
	contents, body bytes.Buffer
}

// table sets no alignment, which would be an inline style.
var table = extension.NewTable(extension.WithTableCellAlignMethod(extension.TableCellAlignNone))

// guide returns the page /guide. Tables and code blocks can be scrolled, so the keyboard reaches them.
func guide(chapters []Chapter) (file, error) {
	page, err := static.ReadFile("static/guide.html")
	if err != nil {
		return file{}, err
	}
	b := &book{markdown: goldmark.New(goldmark.WithExtensions(table)), ids: parser.NewContext().IDs(), starts: map[string]string{}}
	for _, c := range chapters {
		title, _, _ := strings.Cut(strings.TrimPrefix(string(c.Body), "# "), "\n")
		b.starts[c.Name] = slug(title)
	}
	for _, c := range chapters {
		if err := b.add(c); err != nil {
			return file{}, fmt.Errorf("render %s: %w", c.Name, err)
		}
	}
	page = bytes.Replace(page, []byte("{{contents}}"), b.contents.Bytes(), 1)
	body := bytes.ReplaceAll(b.body.Bytes(), []byte("<pre><code"), []byte(`<pre tabindex="0"><code`))
	return newFile("guide.html", bytes.Replace(page, []byte("{{body}}"), body, 1)), nil
}

func (b *book) add(c Chapter) error {
	doc := b.markdown.Parser().Parse(text.NewReader(c.Body))
	err := ast.Walk(doc, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if !entering {
			return ast.WalkContinue, nil
		}
		switch n := n.(type) {
		case *ast.Heading:
			b.heading(n, c.Body)
		case *ast.Link:
			return ast.WalkContinue, b.link(n, c.Name)
		case *east.Table:
			n.SetAttributeString("tabindex", []byte("0"))
		}
		return ast.WalkContinue, nil
	})
	if err != nil {
		return err
	}
	return b.markdown.Renderer().Render(&b.body, c.Body, doc)
}

// heading gives a heading its id, by the rules of GitHub, and adds that of a chapter to the contents.
func (b *book) heading(n *ast.Heading, source []byte) {
	title := plain(n, source)
	id := string(b.ids.Generate([]byte(title), ast.KindHeading))
	n.SetAttributeString("id", []byte(id))
	if n.Level == 1 {
		fmt.Fprintf(&b.contents, "<li><a href=\"#%s\">%s</a></li>\n", id, html.EscapeString(title))
	}
	n.Level++
}

// plain returns the text of a node without its markup.
func plain(n ast.Node, source []byte) string {
	var s strings.Builder
	for c := n.FirstChild(); c != nil; c = c.NextSibling() {
		if t, ok := c.(*ast.Text); ok {
			s.Write(t.Value(source))
		} else {
			s.WriteString(plain(c, source))
		}
	}
	return s.String()
}

// link makes a link to another chapter one within the page. Other relative links have no target on a
// server.
func (b *book) link(n *ast.Link, chapter string) error {
	target := string(n.Destination)
	if strings.HasPrefix(target, "#") || strings.HasPrefix(target, "/") || strings.HasPrefix(target, "https://") || strings.HasPrefix(target, "http://") {
		return nil
	}
	name, fragment, found := strings.Cut(target, "#")
	start, known := b.starts[path.Join(path.Dir(chapter), name)]
	if !known {
		return fmt.Errorf("the link %s leads to no chapter", target)
	}
	if !found {
		fragment = start
	}
	n.Destination = []byte("#" + fragment)
	return nil
}

func slug(title string) string {
	return string(parser.NewContext().IDs().Generate([]byte(title), ast.KindHeading))
}

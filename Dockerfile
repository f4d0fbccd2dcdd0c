# syntax=docker/dockerfile:1

# The images are those of deploy/images.lock; `task images:pin` writes their digests there and here.
ARG GO_IMAGE=golang:1.26-alpine
ARG BASE_IMAGE=gcr.io/distroless/static-debian12:nonroot

# The compiler runs on the machine that builds and crosses to the platform that is
# asked for; nothing is emulated.
FROM --platform=$BUILDPLATFORM ${GO_IMAGE} AS build
WORKDIR /src

# Modules first: they change less often than the code.
RUN --mount=type=cache,target=/go/pkg/mod \
    --mount=type=bind,source=go.mod,target=go.mod \
    --mount=type=bind,source=go.sum,target=go.sum \
    go mod download

ARG TARGETOS
ARG TARGETARCH
ARG VERSION=dev
COPY . .
RUN --mount=type=cache,target=/go/pkg/mod \
    --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=0 GOOS=${TARGETOS} GOARCH=${TARGETARCH} \
    go build -trimpath -buildvcs=false -ldflags "-s -w -X github.com/orderflow-dev/orderflow/app.version=${VERSION}" -o /out/orderflow ./cmd/orderflow

# No shell and no package manager: CA certificates (webhooks, payments), time zones
# and a user without rights, uid 65532.
FROM ${BASE_IMAGE}

ARG BASE_IMAGE
ARG VERSION=dev
LABEL org.opencontainers.image.title="Orderflow" \
      org.opencontainers.image.description="Takes orders over REST, processes them durably, tells everyone over a WebSocket" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.base.name="${BASE_IMAGE}"

COPY --from=build /out/orderflow /orderflow

# In production nothing is made up: it names each setting that is missing and stops.
ENV APP_ENV=production
USER 65532:65532
# Probes and metrics are on 127.0.0.1:9090, see INTERNAL_HOST in .env.example.
EXPOSE 3000

# The binary probes itself, because the image has no shell. A node that is not ready is not
# restarted: the load balancer only sends it no requests.
HEALTHCHECK --interval=5s --timeout=4s --start-period=60s --start-interval=1s --retries=3 \
    CMD ["/orderflow", "healthcheck"]

ENTRYPOINT ["/orderflow"]
CMD ["serve"]

# A static binary in an image without a shell, run by a user without rights.
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=unknown
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=${VERSION}" -o /concord ./cmd/concord \
 && mkdir /data && chown 65532:65532 /data

FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /concord /concord
COPY --from=build --chown=65532:65532 /data /data
COPY LICENSE NOTICE /
USER 65532:65532
VOLUME /data
ENV CONCORD_DATA_DIR=/data CONCORD_HTTP_LISTEN=:9464
EXPOSE 9464 8080
ENTRYPOINT ["/concord"]
CMD ["--help"]

# One image for all three programs: mailserver, tellmail, mailmirror-operator.
#
# From source, with a registry at hand (any base will do, the programs are static):
#     docker build --build-arg VERSION=0.1.0 .
#     docker build --build-arg BASE=debian:bookworm-slim .
#
# From programs that are already built, without any registry; this is what image/build does:
#     docker build --target ready --build-arg BINARIES=target/image/bin .
ARG BASE=scratch
ARG RUST=rust:1.95-bookworm

# What both ways share. A number as user, so that Kubernetes can see that it is not root.
FROM ${BASE} AS runtime
ARG VERSION=unknown
COPY image/etc/ /etc/
ENV PATH=/usr/local/bin:/usr/bin:/bin
USER 65532:65532
# SMTP, submission, SMTPS, IMAP, IMAPS, POP3, POP3S; mirror link, admin API, health and metrics of mailserver; of the operator.
EXPOSE 2525 2587 2465 2143 2993 2110 2995 7025 7026 7027 8080
LABEL org.opencontainers.image.title="Mailmirror" \
      org.opencontainers.image.description="A mirrored pair of mail servers for Kubernetes: mailserver, tellmail and the operator" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.licenses="Apache-2.0"
CMD ["mailserver", "--config", "/etc/mailmirror/mailmirror.ini", "--data", "/var/lib/mailmirror"]

FROM runtime AS ready
ARG BINARIES=target/image/bin
COPY ${BINARIES}/ /usr/local/bin/

FROM ${RUST} AS build
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    image/build --binaries \
 && mkdir /out \
 && cp "$(image/build --print-dir)"/mailserver "$(image/build --print-dir)"/tellmail \
       "$(image/build --print-dir)"/mailmirror-operator /out/

FROM runtime
COPY --from=build /out/ /usr/local/bin/

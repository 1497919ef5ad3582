# Gatehouse for production, on a PostgreSQL and a Redis elsewhere (compose.yaml puts the three together).
#
#     docker build -t gatehouse .
#     docker run --init --read-only -p 3000:3000 --env-file gatehouse.env gatehouse
#
# It listens for plain HTTP: TLS ends at the proxy in front. Nothing is written outside /var/lib/gatehouse, and with
# GATEHOUSE_SECRET_KEY set (production insists) not there either, so the root file system may be read-only.
# There is no build step: Node runs the TypeScript as it is.

FROM node:24-slim AS dependencies
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
# The optional packages are the embedded PostgreSQL and a Node for machines with an old one. No install scripts:
# argon2, the only package that has one, brings a binary that loads without.
RUN npm ci --omit=dev --omit=optional --ignore-scripts

FROM node:24-slim
LABEL org.opencontainers.image.title="Gatehouse" \
      org.opencontainers.image.description="A standalone OAuth 2.0 and OpenID Connect identity provider." \
      org.opencontainers.image.licenses="Apache-2.0"
ENV NODE_ENV=production \
    GATEHOUSE_ENV=production \
    GATEHOUSE_DATA_DIR=/var/lib/gatehouse
WORKDIR /app
COPY --from=dependencies /app/node_modules ./node_modules
COPY package.json LICENSE ./
COPY bin ./bin
COPY config ./config
COPY migrations ./migrations
COPY views ./views
COPY src ./src
RUN mkdir -p -m 0700 /var/lib/gatehouse && chown node:node /var/lib/gatehouse
VOLUME /var/lib/gatehouse
# The user node, by number, so that Kubernetes can see that it is not root (runAsNonRoot).
USER 1000:1000
EXPOSE 3000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.PORT ?? 3000}/healthz/live`).then(({ ok }) => process.exit(ok ? 0 : 1), () => process.exit(1))"]
CMD ["node", "bin/gatehouse.mjs", "start"]

# The gateway's image: compiled in one stage, in the other only what runs.

FROM node:24-slim AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci --ignore-scripts
COPY tsconfig.json ./
COPY src ./src
RUN npm run build && npm prune --omit=dev --ignore-scripts

FROM node:24-slim
ENV NODE_ENV=production \
    HOST=0.0.0.0 \
    PORT=8080 \
    OPS_PORT=9464 \
    IMAGE_DATA_DIR=/data
WORKDIR /app
COPY --from=build /app/node_modules ./node_modules
COPY --from=build /app/build/src ./build/src
# Scripts for Redis, pages and other files that are no TypeScript are read from src/.
COPY --from=build /app/src ./src
COPY --from=build /app/package.json ./
# /media is for MEDIA_DIR. No VOLUME: one without a name is lost with its container. With a real key and no Redis the gateway starts only when something is mounted there.
RUN mkdir --mode=700 /data /media && chown node:node /data /media
USER node
EXPOSE 8080 9464
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s --retries=3 CMD ["node", "build/src/cli.js", "health"]
# Without the most the young generation of Node 24 grows until the process has half more memory; it costs a generation up to a fifth of its CPU, a hit nothing. Without the least
# Node 24 shrinks it to 1 MiB when nobody has called for some seconds, and hits that follow wait up to 50 ms for garbage. See test/bench/README.md.
CMD ["node", "--min-semi-space-size=8", "--max-semi-space-size=8", "build/src/cli.js", "serve"]

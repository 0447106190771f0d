#!/usr/bin/env bash
# @fastify/swagger-ui finds its parts below a path that a proxy takes away at `/docs/`, and not at `/docs/?anything`.
#
# Behaviour: the page names its style sheets and scripts by relative addresses when the request's address ends with a slash, and by absolute ones otherwise. What
# it looks at is the address with its query, so that a deep link such as `/docs/?urls.primaryName=x` gets absolute ones: below the base path of a proxy
# (`https://host/base/docs/?…`) they lead past it, and the page stays blank, where the same page without a query works.
# Seen with: @fastify/swagger-ui 5.2.6, @fastify/swagger 9.9.3, fastify 5.12.8. Needs node 20 or newer and npm.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init --yes > /dev/null
npm install --silent --no-audit --no-fund fastify@5.12.8 @fastify/swagger@9.9.3 @fastify/swagger-ui@5.2.6
cat > try.mjs <<'JS'
import Fastify from 'fastify'
import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'

const app = Fastify()
await app.register(swagger, { openapi: { info: { title: 'x', version: '1' } } })
await app.register(swaggerUi, { routePrefix: '/docs' })
for (const url of ['/docs/', '/docs/?urls.primaryName=x']) {
  const { payload } = await app.inject(url)
  console.log(url, /src="([^"]*bundle\.js)"/.exec(payload)[1])
}
JS
seen=$(node try.mjs)
expected='/docs/ ./static/swagger-ui-bundle.js
/docs/?urls.primaryName=x /docs/static/swagger-ui-bundle.js'
echo "$seen"
[ "$seen" = "$expected" ] || { echo "changed: expected $expected" >&2; exit 1; }

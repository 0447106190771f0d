// What docker/kubernetes asks of a cluster fits the gateway. `npm run test:world -- ops` holds the files against the API's own schemas.

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Type } from '@sinclair/typebox'
import t from 'tap'
import { longestCloseMs } from '../../src/app/drain.ts'
import { parseConfig } from '../../src/config.ts'
import { builtInModels } from '../../src/models/built-in.ts'
import { guardOf, misfitsOf } from '../../src/schema.ts'
import { variables } from '../../src/settings.ts'
import { parseTenants } from '../../src/tenants/book.ts'
import { readDockerfile } from '../support/image.ts'
import { readYaml } from '../support/monitoring.ts'
import { projectDir } from '../support/paths.ts'

const DIR = 'docker/kubernetes'
const Open = { additionalProperties: true }
const Named = Type.Object({ name: Type.String() }, Open)
const Probe = Type.Object({ httpGet: Type.Object({ path: Type.String(), port: Type.String() }), periodSeconds: Type.Integer(), failureThreshold: Type.Integer() }, Open)
const Container = Type.Object({
  image: Type.String(),
  ports: Type.Array(Type.Object({ name: Type.String(), containerPort: Type.Integer() })),
  env: Type.Array(Type.Object({ name: Type.String(), value: Type.String() })),
  envFrom: Type.Array(Type.Object({ configMapRef: Named })),
  livenessProbe: Probe,
  readinessProbe: Probe,
  startupProbe: Probe,
  resources: Type.Object({ requests: Type.Object({ cpu: Type.String(), memory: Type.String() }), limits: Type.Object({ memory: Type.String() }) }),
  securityContext: Type.Unknown(),
  volumeMounts: Type.Array(Type.Object({ name: Type.String(), mountPath: Type.String() }, Open))
}, Open)
const Deployment = Type.Object({
  spec: Type.Object({
    replicas: Type.Integer(),
    strategy: Type.Unknown(),
    template: Type.Object({
      spec: Type.Object({
        terminationGracePeriodSeconds: Type.Integer(),
        automountServiceAccountToken: Type.Literal(false),
        securityContext: Type.Unknown(),
        topologySpreadConstraints: Type.Array(Type.Object({ topologyKey: Type.String() }, Open)),
        containers: Type.Tuple([Container]),
        volumes: Type.Array(Named)
      }, Open)
    }, Open)
  }, Open)
}, Open)
const Kustomization = Type.Object({
  resources: Type.Array(Type.String()),
  configMapGenerator: Type.Array(Type.Object({ name: Type.String(), envs: Type.Optional(Type.Array(Type.String())), files: Type.Optional(Type.Array(Type.String())) }, Open)),
  images: Type.Array(Type.Object({ name: Type.String(), newTag: Type.String() }, Open))
}, Open)

const text = (file: string): string => readFileSync(join(projectDir, file), 'utf8')

function deployment () {
  const content = readYaml(`${DIR}/deployment.yaml`)
  if (!guardOf(Deployment)(content)) throw new Error(misfitsOf(Deployment, content).map(({ path, message }) => `${path} ${message}`).join(', '))
  return content.spec
}

function kustomization () {
  const content = readYaml(`${DIR}/kustomization.yaml`)
  if (!guardOf(Kustomization)(content)) throw new Error(misfitsOf(Kustomization, content).map(({ path, message }) => `${path} ${message}`).join(', '))
  return content
}

const { replicas, strategy, template: { spec: pod } } = deployment()
const [container] = pod.containers
const image = readDockerfile(text('Dockerfile'))
/** The settings that a pod has beside those of the image. */
const settings = new Map([
  ...text(`${DIR}/settings.env`).split('\n').filter(line => /^[A-Z]/.test(line)).map(line => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)] as const),
  ...container.env.map(({ name, value }) => [name, value] as const)
])

t.test('kustomize is given every file but the example of a secret, and none that is not there', async t => {
  const { resources, configMapGenerator: maps } = kustomization()
  const named = [...resources, ...maps.flatMap(({ envs = [], files = [] }) => [...envs, ...files]), 'kustomization.yaml', 'secret.example.yaml']
  t.same(named.toSorted(), readdirSync(join(projectDir, DIR)).toSorted())
})

t.test('a pod has more time to end than a stop takes with its settings, and none leaves before another one is ready', async t => {
  const read = parseConfig({ ...image.env, ...Object.fromEntries(settings) })
  if (!read.ok) throw new Error(read.faults.join())
  t.ok(pod.terminationGracePeriodSeconds * 1000 > longestCloseMs(read.config))
  t.match(strategy, { rollingUpdate: { maxUnavailable: 0, maxSurge: 1 } })
  t.ok(replicas > 1)
  const { periodSeconds, failureThreshold } = container.readinessProbe
  t.ok(periodSeconds * failureThreshold * 1000 * 2 < read.config.drainDelayMs, 'it is out of the service before work is refused')
})

t.test('what a pod is told are settings, and their files are mounted', async t => {
  t.same([...settings.keys()].filter(name => !variables.some(variable => variable.name === name)), [])
  const files = [...settings].filter(([name]) => name.endsWith('_FILE')).map(([, path]) => path)
  t.same(files.length, 3)
  for (const file of files) t.ok(container.volumeMounts.some(({ mountPath }) => file.startsWith(`${mountPath}/`)), file)
  t.same(container.volumeMounts.map(({ name }) => name).toSorted(), pod.volumes.map(({ name }) => name).toSorted())
  t.same(container.envFrom.map(({ configMapRef: { name } }) => name), ['falgate-settings'])
})

t.test('the tenants are sound with a real key, and nobody has one to use', async t => {
  const read = parseTenants(text(`${DIR}/tenants.json`), { models: builtInModels, isReal: true })
  if (!read.ok) throw new Error(read.faults.join())
  t.same([...read.book.tenants.keys()], ['studio'])
  t.match(read.book.warnings, ['tenant studio has no key'])
})

t.test('probes ask the port and the paths that the image has: what lives is not killed because it drains', async t => {
  const ports = new Map(container.ports.map(({ name, containerPort }) => [name, String(containerPort)]))
  t.same([ports.get('http'), ports.get('ops')], [image.env['PORT'], image.env['OPS_PORT']])
  t.same([container.startupProbe, container.livenessProbe, container.readinessProbe].map(({ httpGet }) => httpGet), [{ path: '/healthz', port: 'ops' }, { path: '/healthz', port: 'ops' }, { path: '/readyz', port: 'ops' }])
})

t.test('a pod may do what falgate does, and nothing else', async t => {
  t.match(pod.securityContext, { runAsNonRoot: true, runAsUser: 1000, seccompProfile: { type: 'RuntimeDefault' } })
  t.match(container.securityContext, { allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: { drop: ['ALL'] } })
  t.same(pod.topologySpreadConstraints.map(({ topologyKey }) => topologyKey), ['kubernetes.io/hostname', 'topology.kubernetes.io/zone'])
})

t.test('the image has the version of the project, and no secret stands in the files', async t => {
  const { version } = JSON.parse(text('package.json'))
  t.match(kustomization().images, [{ name: container.image, newTag: String(version) }])
  const all = readdirSync(join(projectDir, DIR)).map(file => text(`${DIR}/${file}`)).join('\n')
  t.notMatch(all, /\bfg_|fgt_|[0-9a-f]{32}/)
  t.same([...all.matchAll(/^ {2}(?:fal-key|redis-password): (.*)$/gm)].map(([, value]) => value), ['PUT-YOUR-KEY-HERE', 'PUT-YOUR-PASSWORD-HERE'])
})

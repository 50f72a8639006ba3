/**
 * Makes a fresh clone ready: installs when node_modules is missing or stale, builds when a source changed, and says so in one line each.
 *
 * Plain Node, no dependencies, no shell (but for npm itself on a Windows where npm-cli.js cannot be found). Every other script starts here.
 * All status lines go to stderr, so that what a script prints on stdout stays its own.
 */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join, relative, sep } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { buildBundle } from './build-bundle.mjs'
import { buildKernels } from './build-kernels.mjs'
import { withLock } from './lock.mjs'

/** The project's root folder. */
export const PROJECT = dirname(dirname(fileURLToPath(import.meta.url)))

const OLDEST_NODE = [20, 19]
const NODE_MODULES = join(PROJECT, 'node_modules')
const INSTALL_STAMP = join(NODE_MODULES, '.setup-stamp.json')
const DIST = join(PROJECT, 'dist')
const BUILD_STAMP = join(DIST, '.build-stamp.json')
const KERNELS = join(DIST, 'src', 'kernels', 'kernels.wasm')
const BUNDLE = join(DIST, 'bundle', 'cli')
const ASSEMBLY = join(PROJECT, 'src', 'kernels', 'assembly') // for asc, not for tsc

/** Installs and (unless `build: false`) builds as far as needed. Ends the process with a message when that cannot be done. */
export async function setup(options = { build: true }) {
  checkNode()
  const isReady = () => isInstalled() && (!options.build || isBuilt())
  if (isReady()) return
  mkdirSync(DIST, { recursive: true })
  await withLock(join(DIST, '.setup.lock'), say, () => {
    if (!isInstalled()) install()
    if (!isReady()) build()
  })
}

/** A script's one line about what it does. */
export function say(line) {
  process.stderr.write(`${line}\n`)
}

/** Ends the process: what went wrong and what to do, no stack. */
export function fail(line, code = 1) {
  say(`error: ${line}`)
  process.exit(code)
}

/** Runs node (or the binary `options.node`) with the given arguments in the caller's terminal; gives its exit code, 1 when a signal ended it. */
export function runNode(args, { node = process.execPath, ...options } = {}) {
  const { status, error } = spawnSync(node, args, { cwd: PROJECT, stdio: 'inherit', ...options })
  if (error) fail(`node ${args[0]}: ${error.message}`)
  return status ?? 1
}

/** All files under a folder, sorted, as paths that start with the folder; a folder that is missing is empty. */
export function filesUnder(folder) {
  if (!existsSync(folder)) return []
  const found = readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name)
    return entry.isDirectory() ? filesUnder(path) : [path]
  })
  return found.sort()
}

export function sha256(bytes) {
  return createHash('sha256').update(bytes).digest('hex')
}

/** Calls `main` when the script that imports this was started by itself, not imported. */
export function isMain(metaUrl) {
  return process.argv[1] !== undefined && metaUrl === pathToFileURL(process.argv[1]).href
}

/** Runs npm with the given arguments, without a shell wherever its JavaScript can be found. */
export function runNpm(args, options = {}) {
  const settings = { cwd: PROJECT, stdio: 'inherit', ...options }
  const script = npmScript()
  if (script) return spawnSync(process.execPath, [script, ...args], settings)
  const windows = process.platform === 'win32'
  return spawnSync(windows ? 'npm.cmd' : 'npm', args, { ...settings, shell: windows })
}

function npmScript() {
  const bin = dirname(process.execPath)
  const beside = join('node_modules', 'npm', 'bin', 'npm-cli.js')
  const candidates = [process.env['npm_execpath'] ?? '', join(bin, beside), join(bin, '..', 'lib', beside)]
  return candidates.find((path) => path.endsWith('npm-cli.js') && existsSync(path))
}

function checkNode() {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
  const [wantMajor, wantMinor] = OLDEST_NODE
  if (major > wantMajor || (major === wantMajor && minor >= wantMinor)) return
  fail(`this is Node ${process.versions.node}, but Node ${OLDEST_NODE.join('.')} or newer is needed: https://nodejs.org/`)
}

// --- install

function isInstalled() {
  return readJson(INSTALL_STAMP)?.lock === lockHash() || isInstalledByHand()
}

/** Whether npm itself (say, a plain `npm ci`) has already put in place what package-lock.json asks for: npm keeps its own record of that. */
function isInstalledByHand() {
  const installed = readJson(join(NODE_MODULES, '.package-lock.json'))?.packages
  const wanted = readJson(join(PROJECT, 'package-lock.json'))?.packages
  if (!installed || !wanted) return false
  const complete = Object.entries(wanted).every(
    ([path, entry]) => path === '' || entry.link || (installed[path] ? installed[path].version === entry.version : entry.optional || entry.peer),
  )
  if (complete) writeFileSync(INSTALL_STAMP, JSON.stringify({ lock: lockHash() }))
  return complete
}

function install() {
  say('setup: installing the packages of package-lock.json (npm ci) ...')
  // No install script is needed: node-llama-cpp's would only look for a compiler.
  const { status, error } = runNpm(['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'], { stdio: ['ignore', 2, 2] })
  if (error || status !== 0) fail(`npm ci did not succeed${error ? ` (${error.message})` : ''}; check the network and the lines above, then try again.`)
  writeFileSync(INSTALL_STAMP, JSON.stringify({ lock: lockHash() }))
}

function lockHash() {
  return sha256(readFileSync(join(PROJECT, 'package-lock.json')))
}

// --- build

function isBuilt() {
  return (
    readJson(BUILD_STAMP)?.sources === sourcesHash() && [join(DIST, '.tsbuildinfo'), KERNELS, join(BUNDLE, 'kernels.wasm')].every((path) => existsSync(path))
  )
}

function build() {
  say('setup: building (tsc, asc, esbuild) ...')
  const started = performance.now()
  const sources = sourcesHash()
  tidyOutputs()
  const status = runNode([join(NODE_MODULES, 'typescript', 'bin', 'tsc'), '-p', PROJECT], { stdio: ['ignore', 2, 2] })
  if (status !== 0) fail('the build failed: see the messages of tsc above.')
  if (!buildKernels(DIST)) fail('the kernels did not compile: see the messages of asc above.')
  if (!buildBundle(DIST)) fail('the commands could not be bundled: see the messages of esbuild above.')
  // A source that was edited during the build leaves the stamp behind, and the next run builds again.
  writeFileSync(BUILD_STAMP, JSON.stringify({ sources }))
  say(`setup: built in ${((performance.now() - started) / 1000).toFixed(1)} s`)
}

/** Everything that decides what a build writes. */
function sourcesHash() {
  const builders = ['tsconfig.json', 'package-lock.json', join('scripts', 'build-kernels.mjs'), join('scripts', 'build-bundle.mjs')].map((path) =>
    join(PROJECT, path),
  )
  const files = [...sourceFiles(), ...filesUnder(ASSEMBLY), ...builders]
  return sha256(files.map((file) => `${relative(PROJECT, file)} ${sha256(readFileSync(file))}\n`).join(''))
}

function sourceFiles() {
  return ['src', 'test'].flatMap((folder) => filesUnder(join(PROJECT, folder))).filter((file) => file.endsWith('.ts') && !file.startsWith(ASSEMBLY))
}

/** Removes outputs whose source is gone; when one is missing, lets tsc forget what it believes to have written. */
function tidyOutputs() {
  const stems = new Set(sourceFiles().map((file) => relative(PROJECT, file).slice(0, -'.ts'.length)))
  const outputs = ['src', 'test'].flatMap((folder) => filesUnder(join(DIST, folder)))
  const written = new Set()
  for (const output of outputs) {
    const stem = relative(DIST, output).replace(/(\.d\.ts|\.js)$/, '')
    if (stems.has(stem)) written.add(stem)
    else if (output !== KERNELS) rmSync(output)
  }
  if ([...stems].some((stem) => !written.has(stem))) rmSync(join(DIST, '.tsbuildinfo'), { force: true })
}

function readJson(path) {
  try {
    return JSON.parse(readFileSync(path, 'utf8'))
  } catch {
    return undefined // missing, or cut short by a kill: as if it had never been written
  }
}

/** A path as the manifest writes it: with forward slashes on every platform. */
export function slashed(path) {
  return path.split(sep).join('/')
}

if (isMain(import.meta.url)) await setup()

/** What `npm pack` makes, installed into an empty folder without a network, runs: the commands, npx, and the library. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { pathToFileURL } from 'node:url'
import { publint } from 'publint'
import { PROJECT } from './support/paths.js'

const MAX_TARBALL_BYTES = 3_000_000
const COMMANDS = ['lora-merge', 'to-gguf', 'lora-to-gguf']

interface Packed {
  readonly filename: string
  readonly size: number
  readonly files: readonly { readonly path: string }[]
}

interface Project {
  readonly version: string
  readonly bin: Readonly<Record<string, string>>
  readonly engines: { readonly node: string }
}

type RunNpm = (args: readonly string[], options: object) => { readonly status: number | null; readonly stdout: string; readonly stderr: string }

describe('the package', () => {
  const project = JSON.parse(readFileSync(join(PROJECT, 'package.json'), 'utf8')) as Project
  const folder = mkdtempSync(join(tmpdir(), 'package-'))
  const home = join(folder, 'a new project')
  let npm: (args: readonly string[], cwd?: string) => string
  let packed: Packed
  let paths: ReadonlySet<string>

  before(async () => {
    npm = await npmRunner()
    // The build has just made dist/ (these tests run from it), so that prepack has nothing to add.
    const listed = JSON.parse(npm(['pack', '--json', '--ignore-scripts', '--pack-destination', folder])) as Packed[] | Record<string, Packed>
    packed = Object.values(listed)[0] as Packed
    paths = new Set(packed.files.map(({ path }) => path))
  })
  after(() => rmSync(folder, { recursive: true, force: true }))

  it(`is a tarball under ${MAX_TARBALL_BYTES / 1e6} MB`, () => {
    assert.ok(packed.size > 0 && packed.size < MAX_TARBALL_BYTES, `${packed.size} bytes`)
  })

  it('holds the commands, the library with its types, the licences and the pinned references', () => {
    const wanted = [
      'LICENSE',
      'THIRD_PARTY_NOTICES.md',
      'README.md',
      'CHANGELOG.md',
      'reference.json',
      'package.json',
      'dist/src/index.js',
      'dist/src/index.d.ts',
      'dist/src/kernels/kernels.wasm',
    ]
    assert.deepEqual(
      [...wanted, ...Object.values(project.bin)].filter((path) => !paths.has(path)),
      [],
    )
    assert.deepEqual(Object.keys(project.bin).sort(), [...COMMANDS].sort())
  })

  it('holds nothing else: no tests, fixtures, sources or build stamps', () => {
    const allowed =
      /^(bin\/[\w-]+\.js|dist\/src\/.+\.(js|d\.ts|wasm)|dist\/bundle\/cli\/[\w-]+\.(js|wasm)|reference\.json|package\.json|(README|CHANGELOG|LICENSE|THIRD_PARTY_NOTICES)(\.md)?)$/
    assert.deepEqual(
      [...paths].filter((path) => !allowed.test(path)),
      [],
    )
  })

  it('names in its notices every project whose algorithms and tables are followed', () => {
    const notices = readFileSync(join(PROJECT, 'THIRD_PARTY_NOTICES.md'), 'utf8')
    const followed = {
      'llama.cpp': 'MIT',
      'gguf-py': 'MIT',
      loralib: 'MIT',
      PEFT: 'Apache-2.0',
      transformers: 'Apache-2.0',
      safetensors: 'Apache-2.0',
      SentencePiece: 'Apache-2.0',
      Ollama: 'MIT',
    }
    for (const [name, licence] of Object.entries(followed)) {
      const row = notices.split('\n').find((line) => line.startsWith('|') && line.slice(0, line.indexOf('](')).includes(name))
      assert.ok(row?.includes(licence), `${name}: no row with ${licence}`)
    }
    const dependencies = (JSON.parse(readFileSync(join(PROJECT, 'package.json'), 'utf8')) as { dependencies: object }).dependencies
    for (const name of Object.keys(dependencies)) assert.ok(notices.includes(name), `${name}: a dependency without a word`)
  })

  it('pins a revision of every reference tool', () => {
    const references = JSON.parse(readFileSync(join(PROJECT, 'reference.json'), 'utf8')) as Record<
      string,
      { version: string; commit?: string; repository: string }
    >
    for (const name of ['llama.cpp', 'gguf', 'peft', 'transformers', 'torch', 'safetensors']) assert.match(references[name]?.version ?? '', /^\d+\.\d+/, name)
    assert.match(references['llama.cpp']?.commit ?? '', /^[0-9a-f]{40}$/)
  })

  it('locks the packages of every platform, so that npm ci works on all of them (else: node scripts/complete-lock.mjs)', () => {
    const { packages } = JSON.parse(readFileSync(join(PROJECT, 'package-lock.json'), 'utf8')) as { packages: Record<string, { optionalDependencies?: object }> }
    const wanted = Object.entries(packages).flatMap(([path, { optionalDependencies = {} }]) =>
      Object.keys(optionalDependencies).map((name) => ({ path, name })),
    )
    assert.ok(wanted.length > 0)
    assert.deepEqual(
      wanted.filter(({ path, name }) => !Object.hasOwn(packages, `node_modules/${name}`) && !Object.hasOwn(packages, `${path}/node_modules/${name}`)),
      [],
    )
  })

  it('pleases publint', async () => {
    const { messages } = await publint({ pkgDir: PROJECT, pack: false, strict: true })
    assert.deepEqual(messages, [])
  })

  it('installs into an empty folder without a network', () => {
    installWithoutNetwork(npm, home, join(folder, packed.filename))
    assert.ok(existsSync(join(home, 'node_modules', 'lora-to-gguf', 'dist', 'src', 'index.js')))
  })

  for (const command of COMMANDS) {
    it(`runs npx ${command} --version there`, () => {
      assert.equal(npm(['exec', '--offline', '--', command, '--version'], home).trim(), project.version)
    })
  }

  it('runs a command that needs its dependencies there', () => {
    const help = npm(['exec', '--offline', '--', 'lora-merge', '--help'], home)
    assert.match(help, /--outtype/)
  })

  it('gives the library to an import there', () => {
    const script = `import * as library from 'lora-to-gguf'; console.log(['planMerge', 'planGguf', 'execute', 'inspect'].map((name) => typeof library[name]).join())`
    const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', script], { cwd: home, encoding: 'utf8' })
    assert.equal(stdout.trim(), 'function,function,function,function', stderr)
  })
})

/** npm as scripts/setup.mjs finds it, silent, with its answer as text; throws with what npm said when it fails. */
async function npmRunner(): Promise<(args: readonly string[], cwd?: string) => string> {
  const { runNpm } = (await import(pathToFileURL(join(PROJECT, 'scripts', 'setup.mjs')).href)) as { runNpm: RunNpm }
  return (args, cwd = PROJECT) => {
    const { status, stdout, stderr } = runNpm(args, { cwd, stdio: ['ignore', 'pipe', 'pipe'], encoding: 'utf8', env: cleanEnvironment() })
    assert.equal(status, 0, `npm ${args.join(' ')}: exit ${status}\n${stderr}`)
    return stdout
  }
}

/** Without what an outer `npm test` has set: the inner npm belongs to another folder. */
function cleanEnvironment(): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(
    ([name]) => !/^npm_(?!execpath|config_(registry|cache|userconfig)$)/i.test(name) && name !== 'NODE_TEST_CONTEXT' && name !== 'INIT_CWD',
  )
  return { ...Object.fromEntries(kept), npm_config_update_notifier: 'false', npm_config_audit: 'false', npm_config_fund: 'false' }
}

/** Puts copies of our own run-time dependencies where npm would, so that it has nothing to fetch, then installs the tarball for real. */
function installWithoutNetwork(npm: (args: readonly string[], cwd?: string) => string, home: string, tarball: string): void {
  const { packages } = JSON.parse(readFileSync(join(PROJECT, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, { dev?: boolean; optional?: boolean; devOptional?: boolean }>
  }
  for (const [path, { dev, optional, devOptional }] of Object.entries(packages)) {
    if (path === '' || dev || optional || devOptional || path.lastIndexOf('node_modules/') > 0) continue
    cpSync(join(PROJECT, path), join(home, path), { recursive: true })
  }
  writeFileSync(join(home, 'package.json'), JSON.stringify({ name: 'empty', version: '1.0.0', private: true }))
  npm(['rebuild', '--offline', '--ignore-scripts'], home) // links their commands: npm fetches a package whose links are missing
  npm(['install', '--offline', '--ignore-scripts', tarball], home)
}

/** Holds the house (docs/architecture.md): which room may import which, where `node:` is allowed, what no source file may do. */
import assert from 'node:assert/strict'
import { readFileSync, readdirSync } from 'node:fs'
import { dirname, join, relative, sep } from 'node:path'
import { describe, it } from 'node:test'
import { PROJECT } from './support/paths.js'

const SRC = join(PROJECT, 'src')

/** Room -> the rooms it may import from, itself always included. Rooms in ANYTHING may import anything but `cli` and `index`, which nobody imports. */
const MAY_IMPORT: ReadonlyMap<string, readonly string[]> = new Map([
  ['core', []],
  ['formats', ['core']],
  ['sources', ['core', 'formats']],
  ['quantized', ['core', 'formats']],
  ['adapters', ['core', 'formats']],
  ['tokenizers', ['core', 'formats']],
  ['architectures', ['core']],
  ['merge', ['core']],
  ['quantize', ['core']],
  ['kernels', ['core']],
  ['ollama', ['core']],
  ['model-card', ['core']],
  ['inspect', ['core', 'formats', 'sources', 'adapters']],
  ['plan', ['core', 'formats', 'adapters', 'architectures', 'tokenizers', 'merge', 'quantize', 'model-card', 'ollama']],
  ['engine', ['core', 'formats', 'plan', 'merge', 'quantize', 'kernels']],
])

/** `host` ties the rooms to paths on this machine; only cli and index may call it. */
const ANYTHING = new Set(['host', 'cli', 'index'])

/** Where the platform is touched; everything else works on ByteSource and ByteSink, so that a browser can host it. */
const MAY_USE_NODE = [/^sources\//, /^engine\//, /^host\//, /^cli\//, /^kernels\/load\.ts$/, /^ollama\/push\.ts$/]

const MAX_LINES = 300

/** Files that are tables: rows of facts, where length is not complexity. */
const TABLES: ReadonlySet<string> = new Set<string>([])

interface SourceFile {
  /** path under src/, with forward slashes */
  readonly path: string
  readonly room: string
  readonly text: string
  /** `text` without comments, so that a rule is never broken by prose */
  readonly code: string
}

describe('the house', () => {
  const files = readSources()

  it('has source files to look at', () => {
    assert.ok(files.length > 0, `no .ts file under ${SRC}`)
  })

  it('keeps every file in a room that the matrix of allowed imports knows', () => {
    const strangers = files.filter(({ room }) => !MAY_IMPORT.has(room) && !ANYTHING.has(room))
    assertNone(strangers.map(({ path, room }) => `${path}: room "${room}" has no row in MAY_IMPORT`))
  })

  it('lets a room import only the rooms below it', () => {
    const allowed = (from: string, to: string): boolean =>
      from === to || (to !== 'cli' && to !== 'index' && (ANYTHING.has(from) || (MAY_IMPORT.get(from) ?? []).includes(to)))
    assertNone(
      files.flatMap(({ path, room, code }) =>
        importsOf(code)
          .filter((specifier) => specifier.startsWith('.'))
          .map((specifier) => ({ specifier, target: roomOf(slashed(join(dirname(path), specifier))) }))
          .filter(({ target }) => !allowed(room, target) && !(room === 'cli' && target === 'index'))
          .map(({ specifier, target }) => `${path}: room "${room}" may not import room "${target}" (${specifier})`),
      ),
    )
  })

  it('never climbs out of src/ with an import', () => {
    assertNone(
      files.flatMap(({ path, code }) =>
        importsOf(code)
          .filter((specifier) => specifier.startsWith('.') && slashed(join(dirname(path), specifier)).startsWith('..'))
          .map((specifier) => `${path}: imports ${specifier}`),
      ),
    )
  })

  it('touches node: only in sources, engine, host, kernels/load, ollama/push and cli', () => {
    const builtin = /^(node:|fs$|fs\/|path$|os$|crypto$|child_process$|worker_threads$|process$|buffer$|stream$|util$|vm$|url$)/
    assertNone(
      files
        .filter(({ path }) => !MAY_USE_NODE.some((place) => place.test(path)))
        .flatMap(({ path, room, code }) => [
          ...importsOf(code)
            .filter((specifier) => builtin.test(specifier))
            .map((specifier) => `${path}: room "${room}" may not import ${specifier}`),
          ...(/\b(process|Buffer|__dirname|__filename)\s*[.[(]/.exec(code) ?? [])
            .slice(1)
            .map((name) => `${path}: room "${room}" may not use the Node global ${name}`),
        ]),
    )
  })

  it('prints and exits only in cli', () => {
    const forbidden = /\b(process\.(?:exit|abort|exitCode|stdout|stderr)|console\.\w+)/g
    assertNone(
      files
        .filter(({ room }) => room !== 'cli')
        .flatMap(({ path, room, code }) => [...code.matchAll(forbidden)].map(([use]) => `${path}: room "${room}" uses ${use}`)),
    )
  })

  it('never evaluates text as code, anywhere', () => {
    const forbidden = /(?<![\w.])eval\s*\(|\bnew\s+Function\b|(?<![\w.])Function\s*\(|['"](?:node:)?vm['"]|\bset(?:Timeout|Interval)\s*\(\s*['"`]/g
    assertNone(files.flatMap(({ path, code }) => [...code.matchAll(forbidden)].map(([use]) => `${path}: ${use}`)))
  })

  it('imports by a name known beforehand: no import() of a variable', () => {
    const dynamic = /\bimport\s*\(\s*(?!['"][^'"]+['"]\s*\))/g
    assertNone(files.flatMap(({ path, code }) => [...code.matchAll(dynamic)].map(({ index }) => `${path}: ${code.slice(index, index + 60).split('\n')[0]}`)))
  })

  it(`keeps files at ${MAX_LINES} lines or fewer, tables aside`, () => {
    assertNone(
      files
        .filter(({ path }) => !TABLES.has(path))
        .map(({ path, room, text }) => ({ path, room, lines: text.trimEnd().split('\n').length }))
        .filter(({ lines }) => lines > MAX_LINES)
        .map(({ path, room, lines }) => `${path}: ${lines} lines in room "${room}"; is there a second idea in it?`),
    )
  })

  it('uses named exports, and no barrel but index.ts', () => {
    assertNone(
      files.flatMap(({ path, code }) => [
        ...(/^export default\b/m.test(code) ? [`${path}: default export`] : []),
        ...(path !== 'index.ts' && /^export \* from\b/m.test(code) ? [`${path}: re-exports a whole module`] : []),
      ]),
    )
  })

  it('throws only the errors of core/errors.ts', () => {
    assertNone(
      files
        .filter(({ path }) => path !== 'core/errors.ts')
        .flatMap(({ path, code }) => [...code.matchAll(/\bthrow new (Error|TypeError|RangeError|SyntaxError)\b/g)].map(([use]) => `${path}: ${use}`)),
    )
  })

  it('lists no table that is gone', () => {
    const paths = new Set(files.map(({ path }) => path))
    assertNone([...TABLES].filter((path) => !paths.has(path)))
  })
})

/** Fails with one line for each finding. */
function assertNone(findings: readonly string[]): void {
  assert.equal(findings.length, 0, `\n${findings.join('\n')}`)
}

function readSources(): SourceFile[] {
  return readdirSync(SRC, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map((entry) => join(entry.parentPath, entry.name))
    .sort()
    .map((file) => {
      const path = slashed(relative(SRC, file))
      const text = readFileSync(file, 'utf8')
      return { path, room: roomOf(path), text, code: withoutComments(text) }
    })
}

/** `formats/gguf/header.ts` lies in `formats`; `index.ts`, beside the rooms, is a room of its own. */
function roomOf(path: string): string {
  const [first = '', ...rest] = path.split('/')
  return rest.length === 0 ? first.replace(/\.[jt]s$/, '') : first
}

/** What a module names in `import ... from '...'`, `export ... from '...'`, `import '...'` and `import('...')`. */
function importsOf(code: string): string[] {
  const patterns = [/\bfrom\s*['"]([^'"\n]+)['"]/g, /\bimport\s*\(?\s*['"]([^'"\n]+)['"]/g]
  return patterns.flatMap((pattern) => [...code.matchAll(pattern)].map((match) => match[1] ?? ''))
}

/** Blanks out comments. Strings are stepped over, so that `'http://...'` stays; a regular expression that holds a quote is rare enough to be split. */
function withoutComments(text: string): string {
  return text.replace(/'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"|`(?:[^`\\]|\\.)*`|\/\*[\s\S]*?\*\/|\/\/[^\n]*/g, (match) =>
    match.startsWith('/*') || match.startsWith('//') ? match.replace(/[^\n]/g, ' ') : match,
  )
}

function slashed(path: string): string {
  return path.split(sep).join('/')
}

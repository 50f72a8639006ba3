/**
 * Compiles the kernels, src/kernels/assembly/*.ts (AssemblyScript), to dist/src/kernels/kernels.wasm; only when one of them changed, as it takes
 * some seconds. Another place: `node scripts/build-kernels.mjs FOLDER` writes FOLDER/src/kernels/kernels.wasm, for a build of one's own.
 * Imports no other script: scripts/setup.mjs imports this one.
 */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

const SELF = fileURLToPath(import.meta.url)
const PROJECT = dirname(dirname(SELF))
const ASSEMBLY = join(PROJECT, 'src', 'kernels', 'assembly')
const COMPILER = join(PROJECT, 'node_modules', 'assemblyscript', 'bin', 'asc.js')

/** No relaxed SIMD, no fused operations: every machine gives the same bytes. The lowest 32 KiB are the kernels' scratch (src/kernels/arena.ts). */
const OPTIONS = [
  ...['-O3', '--converge', '--noAssert', '--uncheckedBehavior', 'always'],
  ...['--runtime', 'stub', '--importMemory', '--noExportMemory', '--memoryBase', '32768'],
  ...['--enable', 'simd'],
  ...['--disableWarning', '112'], // vectors pass between functions of the module, never to JavaScript
]

/** Compiles as far as needed. @returns whether dist holds the kernels of these sources now; if not, the compiler has said why */
export function buildKernels(dist) {
  const target = join(dist, 'src', 'kernels', 'kernels.wasm')
  const stamp = join(dist, '.kernels-stamp')
  const sources = sourcesHash()
  if (existsSync(target) && existsSync(stamp) && readFileSync(stamp, 'utf8') === sources) return true
  mkdirSync(dirname(target), { recursive: true })
  const { status } = spawnSync(process.execPath, [COMPILER, join(ASSEMBLY, 'index.ts'), ...OPTIONS, '-o', target], { cwd: PROJECT, stdio: ['ignore', 2, 2] })
  if (status !== 0) return false
  writeFileSync(stamp, sources)
  return true
}

function sourcesHash() {
  const sources = readdirSync(ASSEMBLY).sort()
  const hash = createHash('sha256').update(sources.join(' '))
  for (const path of [...sources.map((name) => join(ASSEMBLY, name)), SELF, join(PROJECT, 'package-lock.json')]) hash.update(readFileSync(path))
  return hash.digest('hex')
}

if (process.argv[1] === SELF) process.exitCode = buildKernels(resolve(process.argv[2] ?? join(PROJECT, 'dist'))) ? 0 : 1

/**
 * Joins the modules that the commands load (dist/src/**) into a few files, dist/bundle/cli/*.js: node opens four hundred modules in a third of a second
 * and 5 MB, these few in half of that. Chunks that only some commands need stay files of their own. What an import of the package gives is
 * dist/src, as it is.
 */
import { spawnSync } from 'node:child_process'
import { copyFileSync, rmSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

const SELF = fileURLToPath(import.meta.url)
const COMMANDS = ['lora-merge', 'to-gguf', 'lora-to-gguf']

/** Waits for it. @returns whether it succeeded; if not, the bundler has said why */
export function buildBundle(dist) {
  return spawnSync(process.execPath, [SELF, dist], { stdio: ['ignore', 2, 2] }).status === 0
}

async function bundle(dist) {
  const { build } = await import('esbuild')
  const outdir = join(dist, 'bundle', 'cli') // as deep as dist/src/host, from where the package's own files are found (src/host/tool.ts)
  rmSync(join(dist, 'bundle'), { recursive: true, force: true }) // chunks are named after their contents
  await build({
    entryPoints: [...COMMANDS, 'main'].map((name) => join(dist, 'src', 'cli', `${name}.js`)).concat(join(dist, 'src', 'engine', 'worker.js')),
    outdir,
    entryNames: '[name]',
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node20.19',
    packages: 'external',
    minifyWhitespace: true, // V8 keeps the text of all that it loads
    legalComments: 'none',
    logLevel: 'warning',
  })
  // found beside the module that asks for it (src/kernels/load.ts), like worker.js (src/engine/pool.ts)
  copyFileSync(join(dist, 'src', 'kernels', 'kernels.wasm'), join(outdir, 'kernels.wasm'))
}

if (process.argv[1] === SELF) await bundle(resolve(process.argv[2] ?? 'dist'))

/**
 * Runs the package test, and those that compare bytes with fixed ones, under other versions of Node, taken from the npm registry (the packages node-<platform>-<arch>).
 *
 *   node scripts/node-versions.mjs 22 24        where the registry cannot be reached, it says so and succeeds
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { PROJECT, filesUnder, runNode, runNpm, say, setup } from './setup.mjs'

const TESTS = ['package', 'kernels-arithmetic', 'quantize-vectors', 'engine-property', 'engine-same-bytes', 'golden-gguf']

await setup()
const folder = mkdtempSync(join(tmpdir(), 'node-versions-'))
const failed = []
for (const version of process.argv.slice(2)) {
  const node = install(version)
  if (node === undefined) {
    say(`node ${version}: skipped, the npm registry gave no binary for this platform`)
    continue
  }
  say(`node ${version}: ${TESTS.join(', ')}`)
  const env = { ...process.env, PATH: `${dirname(node)}${delimiter}${process.env['PATH']}` }
  if (runNode(['--test', ...TESTS.map((name) => join('dist', 'test', `${name}.test.js`))], { node, env }) !== 0) failed.push(version)
}
rmSync(folder, { recursive: true })
if (failed.length > 0) say(`node ${failed.join(', ')}: failed`)
process.exitCode = failed.length === 0 ? 0 : 1

/** Path of a node binary of the newest release of a major version; undefined when it cannot be had. */
function install(version) {
  const platform = process.platform === 'win32' ? 'win' : process.platform
  const prefix = join(folder, version)
  const options = ['--prefix', prefix, '--ignore-scripts', '--no-audit', '--no-fund', '--no-save', '--fetch-retries=1']
  const { status } = runNpm(['install', ...options, `node-${platform}-${process.arch}@${version}`], { cwd: PROJECT, stdio: 'ignore' })
  return status === 0 ? filesUnder(prefix).find((file) => /[\\/]bin[\\/]node(\.exe)?$/.test(file)) : undefined
}

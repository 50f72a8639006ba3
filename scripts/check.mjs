/** `npm run check`: lint (type-aware), format and types. All three run, whatever the first ones say; the exit code is 1 when one found something. */
import { join } from 'node:path'
import { PROJECT, runNode, say, setup } from './setup.mjs'

const tool = (...path) => join(PROJECT, 'node_modules', ...path)

const CHECKS = [
  { name: 'lint', command: [tool('oxlint', 'bin', 'oxlint'), '--type-aware', '--deny-warnings', '.'] },
  { name: 'format', command: [tool('oxfmt', 'bin', 'oxfmt'), '--check', '.'] },
  { name: 'types', command: [tool('typescript', 'bin', 'tsc'), '-p', PROJECT, '--noEmit', '--incremental', 'false'] },
]

await setup({ build: false })
const failed = CHECKS.filter(({ name, command }) => {
  say(`check: ${name} ...`)
  return runNode(command) !== 0
}).map(({ name }) => name)
say(failed.length === 0 ? 'check: lint, format and types hold' : `check: failed: ${failed.join(', ')}`)
process.exitCode = failed.length === 0 ? 0 : 1

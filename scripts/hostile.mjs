/**
 * Runs `inspect` over the hostile weights files of the golden data (or `node scripts/hostile.mjs pytorch`: over those of one format), each in a
 * process of its own, with a limit on time and memory: what is broken is refused in one clean line, what is valid is read, no payload runs. The
 * limits and the judge are check_hostile.mjs of the golden data.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { goldenFolder } from './golden.mjs'
import { PROJECT, fail, runNode, setup } from './setup.mjs'

await setup()
const golden = goldenFolder()
const folder = mkdtempSync(join(tmpdir(), 'hostile-'))
const command = `'${process.execPath}' '${join(PROJECT, 'bin', 'lora-to-gguf.js')}' inspect --json --hash {}`
const limits = ['--timeout', '5', '--rss-mb', '256', '--reject-codes', '3,4,5,6']
const asked = process.argv.slice(2)

for (const format of asked.length > 0 ? asked : ['safetensors', 'pytorch', 'gguf']) {
  const report = join(folder, `${format}.json`)
  const status = runNode([join(golden, 'check_hostile.mjs'), '--cmd', command, '--only', format, ...limits, '--out', report])
  if (status > 1) fail(`check_hostile.mjs ended with ${status}`)
  const { results } = JSON.parse(readFileSync(report, 'utf8'))
  if (results.length === 0) fail(`there are no hostile files of the format ${format}`)
  const broken = results.filter(({ problems }) => problems.length > 0)
  for (const { problems, path, err } of broken) console.log(`hostile: ${problems.join(', ')}: ${path}: ${err ?? ''}`)
  const slowest = Math.max(...results.map(({ ms }) => ms))
  const largest = Math.max(...results.map(({ rssMb }) => rssMb))
  console.log(
    `hostile: ${format}: ${results.length - broken.length} of ${results.length} files judged right, the slowest in ${slowest} ms, the largest in ${largest} MB`,
  )
  if (broken.some(({ must }) => must === 'hard') || status !== 0) process.exitCode = 1
}
rmSync(folder, { recursive: true })

/**
 * Runs `inspect` over the hostile safetensors files of the golden data, each in a process of its own, with a limit on time and memory:
 * what is broken is refused in one clean line, what is valid is read. The limits and the judge are check_hostile.mjs of the golden data.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { goldenFolder } from './golden.mjs'
import { PROJECT, fail, runNode, setup } from './setup.mjs'

await setup()
const golden = goldenFolder()
const folder = mkdtempSync(join(tmpdir(), 'hostile-'))
const report = join(folder, 'report.json')
const command = `'${process.execPath}' '${join(PROJECT, 'bin', 'lora-to-gguf.js')}' inspect --json --hash {}`
const limits = ['--timeout', '5', '--rss-mb', '256', '--reject-codes', '3,4,5,6']
const status = runNode([join(golden, 'check_hostile.mjs'), '--cmd', command, '--only', 'safetensors', ...limits, '--out', report])
if (status > 1) fail(`check_hostile.mjs ended with ${status}`)

const { results } = JSON.parse(readFileSync(report, 'utf8'))
rmSync(folder, { recursive: true })
const broken = results.filter(({ problems }) => problems.length > 0)
for (const { problems, path, err } of broken) console.log(`hostile: ${problems.join(', ')}: ${path}: ${err ?? ''}`)
const slowest = Math.max(...results.map(({ ms }) => ms))
const largest = Math.max(...results.map(({ rssMb }) => rssMb))
console.log(`hostile: ${results.length - broken.length} of ${results.length} files judged right, the slowest in ${slowest} ms, the largest in ${largest} MB`)
process.exitCode = broken.some(({ must }) => must === 'hard') || status !== 0 ? 1 : 0

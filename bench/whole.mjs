/**
 * `npm run bench`: wall time, throughput and peak memory of a whole command on a synthetic model, next to a plain copy of the same bytes in the same run.
 *
 *   node bench/whole.mjs [--params 1,8,70] [--layers 2] [--outtype q8_0[,f16,folder,...]] [--rounds 3] [--threads N] [--keep]
 *
 * Makes a Llama-shaped bf16 model (0.25, 1, 8 or 70 billion parameters; of the last two, which are sparse files, --layers layers) and a rank-16 adapter on
 * all linears in bench-out/, seeded. Command and copy take turns, so that
 * both see the same machine, after what was written before is on the disk and the weights are in memory; medians are printed as a Markdown table for docs/performance.md. `folder` merges to safetensors, every other type to GGUF.
 * Exit code 1 when peak memory grows with the model by more than the bound below.
 */
import { spawnSync } from 'node:child_process'
import { closeSync, openSync, readFileSync, readSync, rmSync, statSync } from 'node:fs'
import { cpus } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { runMeasured } from '../scripts/measure.mjs'
import { PROJECT, fail, setup } from '../scripts/setup.mjs'
import { SHAPES, makeModel } from './synthetic-model.mjs'

const OUT = join(PROJECT, 'bench-out')
const COPY = join(PROJECT, 'bench', 'copy.mjs')
const MEMORY_GROWTH_BOUND = 64e6

const { values } = parseArgs({
  options: {
    params: { type: 'string', default: '1,8,70' },
    layers: { type: 'string', default: '2' },
    outtype: { type: 'string', default: 'q8_0' },
    rounds: { type: 'string', default: '3' },
    threads: { type: 'string' },
    keep: { type: 'boolean', default: false },
  },
})
const sizes = values.params.split(',')
const outtypes = values.outtype.split(',')
const unknown = sizes.filter((size) => !Object.hasOwn(SHAPES, size))
if (unknown.length > 0) fail(`--params ${unknown.join(',')}: known are ${Object.keys(SHAPES).join(', ')} (billions)`, 2)
if (!(Number(values.rounds) >= 1)) fail(`--rounds ${values.rounds}: expected 1 or more`, 2)

await setup()
const rows = []
for (const size of sizes) {
  const model = await makeModel(OUT, size, Number(values.layers))
  for (const outtype of outtypes) rows.push(await measure(size, model, outtype))
  if (!values.keep) rmSync(model.folder, { recursive: true })
}
printTable(rows)
process.exitCode = memoryIsBounded(rows) ? 0 : 1

async function measure(size, model, outtype) {
  const output = join(OUT, outtype === 'folder' ? 'merged' : `${size}-${outtype}.gguf`)
  const type = outtype === 'folder' ? [] : ['--outtype', outtype, '--no-vocab', '--no-modelfile']
  const threads = values.threads === undefined ? [] : ['--threads', values.threads]
  const args = [model.base, model.adapter, output, ...type, ...threads, '--quiet']
  const rounds = []
  for (let round = 0; round < Number(values.rounds); round++) {
    settle(model.weights)
    const command = await timed('lora-merge', args)
    const outputBytes = outtype === 'folder' ? model.bytes : statSync(output).size
    rmSync(output, { recursive: true })
    rmSync(`${output}.receipt.json`, { force: true })
    const copied = join(OUT, 'copy')
    settle(model.weights)
    const copy = await timed(COPY, [model.weights, copied])
    rmSync(copied)
    process.stderr.write(`${size} B ${outtype}, round ${round + 1}: ${command.seconds.toFixed(2)} s, copy ${copy.seconds.toFixed(2)} s\n`)
    rounds.push({ command, copy, outputBytes })
  }
  const pick = (read) => median(rounds.map(read))
  return {
    size: Number(size),
    layers: model.layers,
    outtype,
    bytes: model.bytes,
    outputBytes: rounds[0].outputBytes,
    seconds: pick(({ command }) => command.seconds),
    copySeconds: pick(({ copy }) => copy.seconds),
    ratio: pick(({ command, copy }) => command.seconds / copy.seconds),
    peakBytes: Math.max(...rounds.map(({ command }) => command.peakBytes)),
  }
}

/** Lets the disk come to rest, and brings the weights into memory: both sides are to be warm. */
function settle(weights) {
  if (process.platform !== 'win32') spawnSync('sync')
  const buffer = Buffer.allocUnsafe(8e6)
  const handle = openSync(weights, 'r')
  while (readSync(handle, buffer) > 0);
  closeSync(handle)
}

async function timed(command, args) {
  const result = await runMeasured(command, args)
  if (result.code !== 0) fail(`${command} ${args.join(' ')}: exit ${result.code ?? result.signal}\n${result.stderr}${result.stdout}`)
  return result
}

function median(numbers) {
  const sorted = numbers.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

function printTable(table) {
  const { version } = JSON.parse(readFileSync(join(PROJECT, 'package.json'), 'utf8'))
  const threads = values.threads === undefined ? 'as many threads as cores' : `${values.threads} threads`
  console.log(
    `\nlora-to-gguf ${version}, Node ${process.versions.node}, ${cpus().length} x ${cpus()[0]?.model.trim()}, ${threads}, median of ${values.rounds} rounds\n`,
  )
  console.log('| shape | layers | output | in | out | wall time | M parameters/s | peak memory | plain copy | times a copy |')
  console.log('|---|---|---|---|---|---|---|---|---|---|')
  for (const row of table) {
    const sizesText = `${gigabytes(row.bytes)} | ${gigabytes(row.outputBytes)}`
    const speed = `${row.seconds.toFixed(2)} s | ${Math.round(row.bytes / 2e6 / row.seconds)} | ${Math.round(row.peakBytes / 1e6)} MB`
    console.log(`| ${row.size} B | ${row.layers} | ${row.outtype} | ${sizesText} | ${speed} | ${row.copySeconds.toFixed(2)} s | ${row.ratio.toFixed(1)} |`)
  }
}

function gigabytes(bytes) {
  return `${(bytes / 1e9).toFixed(2)} GB`
}

/** Whether the biggest model needs hardly more memory than the smallest, for each type. Says so when it could be compared. */
function memoryIsBounded(table) {
  const growths = outtypes.map((outtype) => {
    const peaks = table.filter((row) => row.outtype === outtype).map(({ peakBytes }) => peakBytes)
    return { outtype, bytes: Math.max(...peaks) - Math.min(...peaks) }
  })
  if (sizes.length < 2) return true
  console.log('')
  for (const { outtype, bytes } of growths)
    console.log(`peak memory of ${outtype} differs by ${Math.round(bytes / 1e6)} MB between the models (bound: ${MEMORY_GROWTH_BOUND / 1e6} MB)`)
  return growths.every(({ bytes }) => bytes <= MEMORY_GROWTH_BOUND)
}

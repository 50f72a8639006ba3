/**
 * Speed of every kernel against stock libggml called through koffi, per thread and with all cores: rounds in which both take turns, medians of the
 * ratios of the rounds.
 *
 *   node bench/kernels.mjs [--rounds 5] [--only q4_k] [--threads 1,all] [--plain] [--rebuilt libggml.so]
 *
 * The opponent is libggml-base as node-llama-cpp ships it: scalar C, what users run. Bytes are compared first: a kernel that differs is no kernel.
 * Products and merges have no opponent there. --plain measures the plain-JS twins too; --rebuilt another build of libggml, whose bytes are its own
 * affair: with fused multiply-adds they differ.
 */
import { availableParallelism, cpus } from 'node:os'
import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { Worker } from 'node:worker_threads'
import { fail, setup } from '../scripts/setup.mjs'

const MEASURE_MS = 60
const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    only: { type: 'string' },
    threads: { type: 'string', default: '1,all' },
    plain: { type: 'boolean', default: false },
    rebuilt: { type: 'string' },
  },
})
await setup()
const { CASES } = await import('./kernel-cases.mjs')
const wanted = CASES.filter((name) => options.only === undefined || name.includes(options.only))
const threadCounts = options.threads.split(',').map((text) => (text === 'all' ? availableParallelism() : Number(text)))
if (wanted.length === 0) fail(`--only ${options.only}: no kernel has that in its name`, 2)

console.log(`${process.version}, ${cpus().length} x ${cpus()[0]?.model.trim()}, ${options.rounds} rounds\n`)
const extra = [...(options.plain ? ['plain'] : []), ...(options.rebuilt === undefined ? [] : ['rebuilt'])]
const EXTRA_HEADS = { plain: 'plain JS', rebuilt: 'rebuilt | ours / rebuilt' }
for (const threads of new Set(threadCounts)) {
  const workerData = { rebuilt: options.rebuilt && resolve(options.rebuilt) }
  const workers = Array.from({ length: threads }, () => new Worker(new URL('./kernel-cases.mjs', import.meta.url), { workerData }))
  const heads = [
    `kernel, ${threads} thread${threads === 1 ? '' : 's'}`,
    'ours, M elements/s',
    'libggml',
    'ours / libggml',
    ...extra.map((side) => EXTRA_HEADS[side]),
  ]
  console.log(row(heads))
  console.log(
    row(
      heads
        .join('|')
        .split('|')
        .map(() => '---'),
    ),
  )
  for (const name of wanted) await measure(workers, name)
  console.log('')
  await Promise.all(workers.map((worker) => worker.terminate()))
}

async function measure(workers, name) {
  const speeds = { ours: [], theirs: [], plain: [], rebuilt: [] }
  let same = true
  for (let round = 0; round < Number(options.rounds); round++) {
    for (const side of ['ours', 'theirs', ...extra.filter((one) => one !== 'plain' || round === 0)]) {
      const answers = await Promise.all(workers.map((worker) => ask(worker, { name, side, ms: MEASURE_MS })))
      same &&= answers.every((answer) => answer.same)
      if (answers[0].speed !== undefined) speeds[side].push(answers.reduce((sum, { speed }) => sum + speed, 0))
    }
  }
  const ratio = (side) => (speeds[side].length === 0 ? '' : median(speeds.ours.map((speed, i) => speed / speeds[side][i])).toFixed(2))
  const text = (side) => (speeds[side].length === 0 ? '' : String(Number(median(speeds[side]).toPrecision(3))))
  const more = extra.flatMap((side) => (side === 'plain' ? [text(side)] : [text(side), ratio(side)]))
  console.log(row([`${name}${same ? '' : ' (BYTES DIFFER)'}`, text('ours'), text('theirs'), ratio('theirs'), ...more]))
  if (!same) process.exitCode = 1
}

function row(cells) {
  return `| ${cells.join(' | ')} |`
}

function ask(worker, message) {
  return new Promise((resolve, reject) => {
    const done = (answer) => {
      worker.off('error', reject)
      resolve(answer)
    }
    worker.once('message', done)
    worker.once('error', reject)
    worker.postMessage(message)
  })
}

function median(list) {
  return [...list].sort((a, b) => a - b)[list.length >> 1]
}

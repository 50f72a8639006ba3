/**
 * Speed of every kernel against stock libggml called through koffi, in one run, pair by pair: ratios of medians.
 *
 *   node bench/kernels.mjs [--rounds 9] [--only q4_k]
 *
 * The opponent is libggml-base as node-llama-cpp ships it: scalar C, what users run. One thread, 256 Ki elements (they
 * stay in the second-level cache). Bytes are compared first: a kernel that differs is no kernel.
 */
import { existsSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { PROJECT, setup } from '../scripts/setup.mjs'

const ELEMENTS = 262_144
const COLS = 4096
const RANKS = [16, 64]
const LEAST_MS = 60 // of one measurement

const { values: options } = parseArgs({ options: { rounds: { type: 'string', default: '9' }, only: { type: 'string' } } })
await setup()
const { openWorkshop, PLAIN_ARITHMETIC } = await import('../dist/src/engine/arithmetic.js')
const { QUANT_TYPES, quantBytes } = await import('../dist/src/core/quant-types.js')
const { ENCODED_TYPES } = await import('../dist/src/core/arithmetic.js')
const ggml = await nativeGgml()
const { arithmetic, arena } = openWorkshop(64 * 2 ** 20)
const from = new Float32Array(arena.take(ELEMENTS * 4).buffer, arena.mark() - ELEMENTS * 4, ELEMENTS)
gaussian(from)

console.log(`${process.version}, ${options.rounds} rounds, one thread${ggml === undefined ? ', no libggml for this platform: no ratios' : ''}`)
console.log('| kernel | ours, M elements/s | plain JS | libggml | ours / libggml |')
console.log('|---|---|---|---|---|')
for (const type of ENCODED_TYPES) if (type !== 'f32' && wanted(type)) encode(type)
for (const type of ['F16', 'BF16']) if (wanted(type.toLowerCase())) widen(type)
for (const rank of RANKS) if (wanted('lora')) lowRank(rank)

function encode(type) {
  const into = arena.take(quantBytes(type, ELEMENTS))
  const native = new Uint8Array(into.byteLength)
  const theirs = ggml && (() => ggml.encode(type, from, native))
  arithmetic.encode(type, from, into, COLS)
  theirs?.()
  const same = theirs === undefined || Buffer.compare(into, native) === 0
  row(
    `${type}${same ? '' : ' (BYTES DIFFER)'}`,
    () => arithmetic.encode(type, from, into, COLS),
    () => PLAIN_ARITHMETIC.encode(type, from, into, COLS),
    theirs,
  )
}

function widen(type) {
  const bytes = arena.take(ELEMENTS * 2)
  arithmetic.encode(type === 'F16' ? 'f16' : 'bf16', from, bytes, COLS)
  const into = new Float32Array(arena.take(ELEMENTS * 4).buffer, arena.mark() - ELEMENTS * 4, ELEMENTS)
  row(
    `${type.toLowerCase()} to f32`,
    () => arithmetic.widen(type, bytes, into),
    () => PLAIN_ARITHMETIC.widen(type, bytes, into),
    ggml && (() => ggml.widen(type, bytes, into)),
  )
}

function lowRank(rank) {
  const [A, B] = [rank * COLS, (ELEMENTS / COLS) * rank].map((count) => gaussian(new Float32Array(count)))
  const into = new Float32Array(arena.take(ELEMENTS * 4).buffer, arena.mark() - ELEMENTS * 4, ELEMENTS)
  row(
    `lora rank ${rank}`,
    () => arithmetic.lowRank(B, A, 0.5, rank, COLS, into),
    () => PLAIN_ARITHMETIC.lowRank(B, A, 0.5, rank, COLS, into),
  )
}

function row(name, ours, plain, theirs) {
  const times = { ours: [], theirs: [] }
  for (let round = 0; round < Number(options.rounds); round++) {
    times.ours.push(timeOf(ours))
    if (theirs !== undefined) times.theirs.push(timeOf(theirs))
  }
  const ratio = theirs === undefined ? '' : median(times.ours.map((time, i) => times.theirs[i] / time)).toFixed(2)
  console.log(`| ${name} | ${speed(median(times.ours))} | ${speed(timeOf(plain))} | ${theirs === undefined ? '' : speed(median(times.theirs))} | ${ratio} |`)
}

/** Milliseconds of one call, from as many as take a while. */
function timeOf(call) {
  call()
  let calls = 0
  const start = performance.now()
  while (performance.now() - start < LEAST_MS) {
    call()
    calls++
  }
  return (performance.now() - start) / calls
}

function speed(ms) {
  return (ELEMENTS / ms / 1000).toPrecision(3)
}

function median(list) {
  return [...list].sort((a, b) => a - b)[list.length >> 1]
}

function wanted(name) {
  return options.only === undefined || name.includes(options.only)
}

/** Weights of a usual size; xorshift and Box-Muller, seeded. */
function gaussian(into) {
  let state = 1
  const next = () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return ((state >>> 0) + 0.5) / 2 ** 32
  }
  for (let i = 0; i < into.length; i++) into[i] = 0.02 * Math.sqrt(-2 * Math.log(next())) * Math.cos(2 * Math.PI * next())
  return into
}

/** Functions of libggml-base, or undefined where node-llama-cpp has no binary for this platform. */
async function nativeGgml() {
  const [path] = ['linux-x64', 'linux-arm64', 'mac-arm64-metal', 'mac-x64', 'win-x64', 'win-arm64']
    .filter((one) => one.startsWith({ linux: 'linux', darwin: 'mac', win32: 'win' }[process.platform] ?? '-') && one.includes(process.arch))
    .flatMap((one) =>
      ['libggml-base.so', 'libggml-base.dylib', 'ggml-base.dll'].map((file) => `${PROJECT}/node_modules/@node-llama-cpp/${one}/bins/${one}/${file}`),
    )
    .filter((file) => existsSync(file))
  if (path === undefined) return undefined
  const { default: koffi } = await import('koffi')
  const library = koffi.load(path)
  const quantize = library.func(
    'size_t ggml_quantize_chunk(int type, const float *src, void *dst, int64_t start, int64_t rows, int64_t cols, const float *imatrix)',
  )
  const rows = Object.fromEntries(
    ['ggml_fp32_to_fp16_row', 'ggml_fp32_to_bf16_row_ref', 'ggml_fp16_to_fp32_row', 'ggml_bf16_to_fp32_row'].map((name) => [
      name,
      library.func(`void ${name}(const void *x, void *y, int64_t n)`),
    ]),
  )
  const narrow = { f16: 'ggml_fp32_to_fp16_row', bf16: 'ggml_fp32_to_bf16_row_ref' }
  return {
    encode: (type, x, y) => (type in narrow ? rows[narrow[type]](x, y, x.length) : quantize(QUANT_TYPES[type].id, x, y, 0, x.length / COLS, COLS, null)),
    widen: (type, x, y) => rows[type === 'F16' ? 'ggml_fp16_to_fp32_row' : 'ggml_bf16_to_fp32_row'](x, y, y.length),
  }
}

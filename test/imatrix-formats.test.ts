/** Importance matrices in both forms, good ones and bad ones. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { memorySource } from '../src/core/bytes.js'
import { FormatError, UsageError } from '../src/core/errors.js'
import { string, strings, u32, type KeyValue } from '../src/core/key-value.js'
import { elementCount } from '../src/core/shape.js'
import { encodeGgufHeader } from '../src/formats/gguf/header-writer.js'
import { readGgufHeader } from '../src/formats/gguf/header.js'
import { readImatrix, selectWeights } from '../src/formats/imatrix/imatrix.js'
import { GOLDEN, SKIP_WITHOUT_GOLDEN } from './support/paths.js'

const KEYS: readonly KeyValue[] = [
  { key: 'general.type', value: string('imatrix') },
  { key: 'imatrix.datasets', value: strings(['calib.txt', 'more.txt']) },
  { key: 'imatrix.chunk_count', value: u32(7) },
  { key: 'imatrix.chunk_size', value: u32(512) },
]

interface Floats {
  readonly name: string
  readonly shape: readonly number[]
  readonly values: readonly number[]
}

function gguf(tensors: readonly Floats[], keyValues: readonly KeyValue[] = KEYS): Uint8Array {
  const listed = tensors.map(({ name, shape }) => ({ name, shape, type: 'f32' as const, byteLength: 4 * elementCount(shape) }))
  const header = encodeGgufHeader({ keyValues, tensors: listed })
  const bytes = new Uint8Array(header.fileSize)
  bytes.set(header.bytes)
  tensors.forEach(({ values }, i) => bytes.set(new Uint8Array(Float32Array.from(values).buffer), header.offsets[i]))
  return bytes
}

function sums(name: string, shape: readonly number[], values: readonly number[]): Floats {
  return { name: `${name}.in_sum2`, shape, values }
}

function counts(name: string, ...values: number[]): Floats {
  return { name: `${name}.counts`, shape: [values.length, 1], values }
}

function i32(value: number): number[] {
  return [...new Uint8Array(Int32Array.of(value).buffer)]
}

function text(value: string): number[] {
  const bytes = new TextEncoder().encode(value)
  return [...i32(bytes.length), ...bytes]
}

function legacyEntry(name: string, calls: number, values: readonly number[]): number[] {
  return [...text(name), ...i32(calls), ...i32(values.length), ...new Uint8Array(Float32Array.from(values).buffer)]
}

function read(bytes: Uint8Array | readonly number[]) {
  return readImatrix(memorySource('imatrix.dat', Uint8Array.from(bytes)))
}

async function valuesOf(bytes: Uint8Array | readonly number[]): Promise<Record<string, number[]>> {
  const { entries } = await read(bytes)
  return Object.fromEntries([...entries].map(([name, { values }]) => [name, [...values]]))
}

function rejects(bytes: Uint8Array | readonly number[], message: RegExp): Promise<void> {
  return assert.rejects(
    () => read(bytes),
    (error) => error instanceof FormatError && message.test(error.message),
  )
}

describe('an importance matrix as GGUF', () => {
  it('gives sum / count as f32, with the texts and chunks', async () => {
    const file = gguf([sums('a.weight', [1, 3], [1, 2, 10]), counts('a.weight', 3)])
    assert.deepEqual(await valuesOf(file), { 'a.weight': [Math.fround(1 / 3), Math.fround(2 / 3), Math.fround(10 / 3)] })
    const { datasets, chunkCount } = await read(file)
    assert.deepEqual([datasets, chunkCount], [['calib.txt', 'more.txt'], 7])
  })

  it('divides each expert by its own count, and weighs the columns of an expert without input alike', async () => {
    const file = gguf([counts('e.weight', 2, 0, 4), sums('e.weight', [3, 2], [2, 4, 0, 0, 4, 8])])
    assert.deepEqual(await valuesOf(file), { 'e.weight': [1, 2, 1, 1, 1, 2] })
  })

  it('rounds counts to whole numbers, halves up', async () => {
    assert.deepEqual(await valuesOf(gguf([sums('a', [3, 1], [6, 6, 6]), counts('a', 1.5, 2.4, 0.4)])), { a: [3, 3, 1] })
  })

  it('leaves out tensors of other names', async () => {
    assert.deepEqual(await valuesOf(gguf([{ name: 'note', shape: [1], values: [1] }, sums('a', [1, 1], [5]), counts('a', 1)])), { a: [5] })
  })

  it('refuses sums without counts and counts without sums', async () => {
    await rejects(gguf([sums('a', [1, 1], [5])]), /"a".*has sums only/)
    await rejects(gguf([counts('a', 5)]), /"a".*has counts only/)
  })

  it('refuses sums that are no whole rows of the counts', () => rejects(gguf([sums('a', [1, 3], [1, 2, 3]), counts('a', 1, 1)]), /3 sums for 2 counts/))

  it('refuses weights that are no numbers, infinite or negative, with the place', async () => {
    for (const [bad, shown] of [
      [Number.NaN, 'NaN'],
      [Infinity, 'Infinity'],
      [-1, '-1'],
    ] as const) {
      const file = gguf([sums('a', [1, 2], [1, bad]), counts('a', 1)])
      const { dataStart } = await readGgufHeader(memorySource('x', file))
      await rejects(file, new RegExp(`"a.in_sum2" at byte ${dataStart + 4}: holds ${shown};`))
    }
    await rejects(gguf([sums('a', [1, 1], [1]), counts('a', Number.NaN)]), /"a.counts".*NaN/)
  })

  it('refuses other GGUF files, saying what they are', async () => {
    const tensors = [sums('a', [1, 1], [5]), counts('a', 1)]
    await rejects(gguf(tensors, [{ key: 'general.type', value: string('model') }, ...KEYS.slice(1)]), /GGUF file of type "model", not an importance matrix/)
    for (const missing of ['imatrix.datasets', 'imatrix.chunk_count', 'imatrix.chunk_size']) {
      const keys = KEYS.filter(({ key }) => key !== missing)
      await rejects(gguf(tensors, keys), new RegExp(missing))
    }
    await rejects(gguf([]), /holds no weights/)
  })

  it('refuses sums of another type', async () => {
    const listed = [
      { name: 'a.in_sum2', shape: [1, 2], type: 'f16' as const, byteLength: 4 },
      { name: 'a.counts', shape: [1, 1], type: 'f32' as const, byteLength: 4 },
    ]
    const header = encodeGgufHeader({ keyValues: KEYS, tensors: listed })
    const bytes = new Uint8Array(header.fileSize)
    bytes.set(header.bytes)
    await rejects(bytes, /"a.in_sum2".*type f16/)
  })
})

describe('an importance matrix of the older form', () => {
  const ONE = [...i32(1), ...legacyEntry('a', 4, [4, 10])]

  it('gives value / calls, with the text and chunks', async () => {
    const file = [...i32(2), ...legacyEntry('a', 3, [1, 2]), ...legacyEntry('b', 0, [5, 6]), ...i32(9), ...text('wiki.txt')]
    assert.deepEqual(await valuesOf(file), { a: [Math.fround(1 / 3), Math.fround(2 / 3)], b: [5, 6] })
    const { datasets, chunkCount } = await read(file)
    assert.deepEqual([datasets, chunkCount], [['wiki.txt'], 9])
  })

  it('may end after the entries, or after the chunks', async () => {
    assert.deepEqual(await read(ONE), { entries: new Map([['a', { values: Float32Array.of(1, 2.5) }]]), datasets: [], chunkCount: 0 })
    assert.deepEqual((await read([...ONE, ...i32(5)])).chunkCount, 5)
    assert.deepEqual((await read([...ONE, ...i32(5), ...i32(0)])).datasets, [])
  })

  it('is refused wherever it is cut short', async () => {
    const whole = [...ONE, ...i32(5), ...text('t')]
    const complete = new Set([ONE.length, ONE.length + 4, whole.length])
    for (let length = 0; length < whole.length; length++) if (!complete.has(length)) await rejects(whole.slice(0, length), /./)
  })

  it('is refused with bytes left over', () => rejects([...ONE, ...i32(5), ...text('t'), 0], /at byte 34: 1 bytes follow/))

  it('is refused when a length cannot be, before memory is taken', async () => {
    await rejects([...i32(0), ...ONE], /the number of entries is 0/)
    await rejects([...i32(-1), ...ONE], /the number of entries is -1/)
    await rejects([...i32(1_000_000), ...ONE], /the number of entries is 1000000, but 1 to 1/)
    await rejects([...i32(1), ...i32(256), ...ONE], /the length of the name of entry 1 is 256/)
    await rejects([...i32(1), ...text('a'), ...i32(1), ...i32(0x7fff_ffff), 0, 0, 0, 0], /at byte 13: the number of values of "a" is 2147483647, but 1 to 1/)
    await rejects([...i32(1), ...text('a'), ...i32(1), ...i32(0), 0, 0, 0, 0], /the number of values of "a" is 0/)
  })

  it('is refused with a name twice, or one that is no text', async () => {
    await rejects([...i32(2), ...legacyEntry('a', 1, [1]), ...legacyEntry('a', 1, [1])], /"a" is there twice/)
    await rejects([...i32(1), ...i32(1), 0xff, ...i32(1), ...i32(1), 0, 0, 0, 0], /not valid UTF-8/)
    await rejects([...i32(1), ...legacyEntry('a\0b', 1, [1])], /holds a NUL/)
  })

  it('is refused with weights that are no numbers', () => rejects([...i32(1), ...legacyEntry('a', 1, [1, Number.NaN])], /"a" at byte 21: holds NaN/))
})

describe('a selection of weights', () => {
  const file = [
    ...i32(3),
    ...legacyEntry('blk.0.attn_q.weight', 1, [1]),
    ...legacyEntry('blk.0.ffn_down.weight', 1, [2]),
    ...legacyEntry('output.weight', 1, [3]),
  ]
  const select = async (selection: Parameters<typeof selectWeights>[1]): Promise<string[]> => [...selectWeights(await read(file), selection).entries.keys()]

  it('keeps what is included, or leaves out what is excluded', async () => {
    assert.deepEqual(await select({ include: ['ffn_down', 'output'] }), ['blk.0.ffn_down.weight', 'output.weight'])
    assert.deepEqual(await select({ exclude: ['blk.0'] }), ['output.weight'])
    assert.deepEqual(await select({ exclude: ['weight'] }), [])
    assert.equal((await select({})).length, 3)
  })

  it('refuses both at once, and parts that fit no name', async () => {
    await assert.rejects(select({ include: ['a'], exclude: ['b'] }), UsageError)
    await assert.rejects(select({ include: ['ffn_up'] }), /--include-weights "ffn_up" fits no name/)
  })
})

describe('the golden importance matrix', { skip: SKIP_WITHOUT_GOLDEN }, () => {
  if (GOLDEN === undefined) return
  const bytes = new Uint8Array(readFileSync(join(GOLDEN, 'gguf', 'imatrix-llama', 'imatrix.gguf')))

  it('has one weight for each column of every matrix but the embedding', async () => {
    const { entries, datasets, chunkCount } = await read(bytes)
    assert.deepEqual([entries.size, datasets, chunkCount], [15, ['calib.txt'], 7])
    assert.ok(!entries.has('token_embd.weight'))
    for (const { values } of entries.values()) assert.equal(values.length, 256)
  })

  it('is refused wherever it is cut short', async () => {
    for (let length = 0; length < bytes.length - 32; length += 997) await rejects(bytes.slice(0, length), /./)
  })
})

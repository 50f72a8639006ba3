/** `@huggingface/gguf` as a second reader of the files that tests write; it shares no code with ours. */
import assert from 'node:assert/strict'
import { gguf, GGUFValueType } from '@huggingface/gguf'
import type { KeyValue, MetadataValue } from '../../src/core/key-value.js'
import { QUANT_TYPES, type QuantType } from '../../src/core/quant-types.js'

/** What a file must hold, as plain data: an encoded plan, or what our reader said. */
export interface ExpectedGguf {
  readonly keyValues: readonly KeyValue[]
  readonly tensors: readonly {
    readonly name: string
    readonly type: QuantType
    /** Outermost dimension first. */
    readonly shape: readonly number[]
    /** From the start of the file. */
    readonly offset: number
  }[]
}

const PEER_TYPES = {
  u8: GGUFValueType.UINT8,
  i8: GGUFValueType.INT8,
  u16: GGUFValueType.UINT16,
  i16: GGUFValueType.INT16,
  u32: GGUFValueType.UINT32,
  i32: GGUFValueType.INT32,
  f32: GGUFValueType.FLOAT32,
  bool: GGUFValueType.BOOL,
  string: GGUFValueType.STRING,
  array: GGUFValueType.ARRAY,
  u64: GGUFValueType.UINT64,
  i64: GGUFValueType.INT64,
  f64: GGUFValueType.FLOAT64,
} as const

/** What the peer adds to the keys of the file. */
const COUNTS = ['version', 'tensor_count', 'kv_count']

/**
 * Reads a file with the peer: every key in order, its type and value, every tensor's name, shape, type and offset must
 * equal what is expected. The peer cannot read arrays of more than 1,000,000 items or strings beyond 2 MB, shows bad
 * UTF-8 as U+FFFD, takes U+FEFF from the front of a string, and loses the key `__proto__`.
 */
export async function assertReadsAlike(path: string, expected: ExpectedGguf): Promise<void> {
  const peer = await gguf(path, { allowLocalFile: true, typedMetadata: true })
  assert.equal(peer.littleEndian, true, 'byte order')

  const found = new Map(Object.entries(peer.typedMetadata as Record<string, PeerEntry>).filter(([key]) => !COUNTS.includes(key)))
  const keys = expected.keyValues.map(({ key }) => key)
  assert.equal(peer.metadata.kv_count, BigInt(keys.length), 'number of key-values')
  assert.deepEqual([...found.keys()].toSorted(), keys.toSorted(), 'metadata keys')
  assert.deepEqual([...found.keys()].filter(isOrdered), keys.filter(isOrdered), 'order of the metadata keys')
  for (const { key, value } of expected.keyValues) assert.deepEqual(found.get(key), peerEntry(value), `value of ${key}`)

  assert.equal(peer.metadata.tensor_count, BigInt(expected.tensors.length), 'number of tensors')
  assert.deepEqual(
    peer.tensorInfos.map(({ name, shape, dtype, offset }) => ({
      name,
      shape: shape.map(Number).reverse(),
      type: dtype as number,
      offset: Number(peer.tensorDataOffset + offset),
    })),
    expected.tensors.map(({ name, shape, type, offset }) => ({ name, shape: [...shape], type: QUANT_TYPES[type].id, offset })),
    'tensors',
  )
}

interface PeerEntry {
  readonly value: unknown
  readonly type: GGUFValueType
  readonly subType?: GGUFValueType
}

function peerEntry(value: MetadataValue): PeerEntry {
  if (value.type !== 'array') return { value: asPeerReads(value.type === 'f32' ? Math.fround(value.value) : value.value), type: PEER_TYPES[value.type] }
  const values: unknown[] = value.items === 'f32' ? Array.from(value.value, Math.fround) : Array.from<unknown>(value.value).map(asPeerReads)
  return { value: values, type: PEER_TYPES.array, subType: PEER_TYPES[value.items] }
}

/** A token of Llama 2 is a byte order mark; the peer's TextDecoder takes it away. */
function asPeerReads(value: unknown): unknown {
  return typeof value === 'string' ? value.replace(/^\ufeff/, '') : value
}

/** The peer keeps keys in an object, which moves integer-like ones to the front. */
function isOrdered(key: string): boolean {
  return !/^\d+$/.test(key)
}

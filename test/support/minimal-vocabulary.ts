/**
 * A GGUF written without tokenizer -> the same with a small SentencePiece vocabulary of the size of its embedding, so that
 * llama.cpp loads it: <unk>, <s>, </s>, the 256 bytes, <|endoftext|>, then pieces without meaning.
 */
import { openSync, closeSync, writeSync } from 'node:fs'
import { string, strings, u32, type KeyValue, type MetadataValue } from '../../src/core/key-value.js'
import { encodeGgufHeader } from '../../src/formats/gguf/header-writer.js'
import { readGguf } from './gguf-file.js'

const NORMAL = 1
const UNKNOWN = 2
const CONTROL = 3
const BYTE = 6

/** @param size  tokens; unless given, the rows of token_embd.weight */
export async function withVocabulary(from: string, to: string, size?: number): Promise<void> {
  const file = await readGguf(from)
  const rows = size ?? file.tensors.find(({ name }) => name === 'token_embd.weight')?.shape[0]
  if (rows === undefined) throw new Error(`${from} has no token_embd.weight`)
  const segments = file.tensors.find(({ name }) => name === 'token_types.weight')?.shape[0] ?? 2
  const keyValues = [...file.keyValues.filter(({ key }) => !key.startsWith('tokenizer.')), ...vocabulary(rows, segments)]
  const header = encodeGgufHeader({ keyValues, tensors: file.tensors.map(({ bytes, ...tensor }) => ({ ...tensor, byteLength: bytes.byteLength })) })
  const out = openSync(to, 'w')
  writeSync(out, header.bytes, 0, header.bytes.byteLength, 0)
  file.tensors.forEach(({ bytes }, i) => writeSync(out, bytes, 0, bytes.byteLength, header.offsets[i] ?? 0))
  writeSync(out, new Uint8Array(1), 0, 1, header.fileSize - 1)
  closeSync(out)
}

function vocabulary(size: number, segments: number): KeyValue[] {
  const bytes = Array.from({ length: 256 }, (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`)
  const named = ['<unk>', '<s>', '</s>', ...bytes, '<|endoftext|>']
  const tokens = Array.from({ length: size }, (_, id) => named[id] ?? `tok_${id}`)
  const types = tokens.map((token, id) => (id === 0 ? UNKNOWN : id <= 2 || token === '<|endoftext|>' ? CONTROL : id < 259 ? BYTE : NORMAL))
  const entries: [string, MetadataValue][] = [
    ['model', string('llama')],
    ['pre', string('default')],
    ['tokens', strings(tokens)],
    ['scores', { type: 'array', items: 'f32', value: tokens.map(() => 0) }],
    ['token_type', { type: 'array', items: 'i32', value: types }],
    ['token_type_count', u32(segments)],
    ['bos_token_id', u32(1)],
    ['eos_token_id', u32(2)],
  ]
  return entries.map(([key, value]) => ({ key: `tokenizer.ggml.${key}`, value }))
}

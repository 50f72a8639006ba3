/**
 * Opens a GGUF file, or all parts of a split one, as a base model: its tensors under their GGUF names, its metadata as it
 * stands. Headers are read and checked, weights are not touched.
 */
import { basename, dirname, join } from 'node:path'
import { FormatError, UnsupportedError } from '../core/errors.js'
import { textOf, valueOf, type KeyValue } from '../core/key-value.js'
import type { GgufFacts, Model } from '../core/model.js'
import { fromQuantType } from '../core/stored-types.js'
import type { TensorInfo } from '../core/tensor-info.js'
import { readGgufHeader, type GgufHeader } from '../formats/gguf/header.js'
import type { ByteSource } from '../core/bytes.js'
import { openFile, shownPath } from './files.js'

// llama.cpp names the parts of a split file so, and its readers look for these names
const PART_NAME = /^(.*)-(\d{5})-of-(\d{5})\.gguf$/

interface Part {
  readonly source: ByteSource
  readonly header: GgufHeader
}

/**
 * Opens `path` and, when it is a part of a split file, all other parts.
 * @throws FormatError when the parts do not belong together or a tensor stands twice, UnsupportedError for GGUFs that are no model
 */
export async function openGgufModel(path: string): Promise<Model> {
  const parts = await openParts(path)
  const [first] = parts
  if (first === undefined) throw new FormatError('names no part of a split file.', { file: path })
  checkParts(parts)
  const kind = textOf(first.header.keyValues, 'general.type')
  if (kind !== undefined && kind !== 'model') throw new UnsupportedError(`holds a GGUF of type "${kind}"; a model is wanted.`, { file: first.source.name })
  const tensors = new Map<string, TensorInfo>()
  for (const { source, header } of parts) {
    for (const { name, type, shape, offset, byteLength } of header.tensors) {
      if (tensors.has(name)) throw new FormatError('stands in two parts of the split file.', { file: source.name, tensor: name })
      tensors.set(name, { name, dtype: fromQuantType(type), shape, source: source.descriptor, offset, byteLength })
    }
  }
  const gguf: GgufFacts = {
    keyValues: first.header.keyValues,
    alignment: first.header.alignment,
    parts: parts.map(({ source, header }) => ({ source: source.descriptor, dataStart: header.dataStart })),
  }
  const shards = parts.map(({ source, header }) => ({
    fileName: basename(source.name),
    tensorNames: header.tensors.map(({ name }) => name),
    metadata: new Map<string, string>(),
  }))
  return { label: shownPath(path), identity: basename(path).replace(/\.gguf$/i, ''), folder: undefined, config: undefined, tensors, shards, gguf }
}

async function openParts(path: string): Promise<Part[]> {
  const [, stem, , count] = PART_NAME.exec(basename(path)) ?? []
  if (stem === undefined || count === undefined) return [await openPart(path)]
  const parts: Part[] = []
  for (let number = 1; number <= Number(count); number++)
    parts.push(await openPart(join(dirname(path), `${stem}-${String(number).padStart(5, '0')}-of-${count}.gguf`)))
  return parts
}

async function openPart(path: string): Promise<Part> {
  const source = await openFile(path)
  return { source, header: await readGgufHeader(source) }
}

/** split.no and split.count of every part must say what its name says. */
function checkParts(parts: readonly Part[]): void {
  parts.forEach(({ source, header }, i) => {
    const number = numberOf(header.keyValues, 'split.no')
    const count = numberOf(header.keyValues, 'split.count')
    if (parts.length === 1 && (count ?? 1) <= 1) return
    if (number !== i || count !== parts.length) {
      throw new FormatError(
        `says it is part ${number ?? 'none'} of ${count ?? 'none'}, its name and neighbours say ${i} of ${parts.length} (counted from 0).`,
        { file: source.name },
      )
    }
  })
}

function numberOf(keyValues: readonly KeyValue[], wanted: string): number | undefined {
  const value = valueOf(keyValues, wanted)
  return value?.type === 'u16' || value?.type === 'u32' || value?.type === 'i32' ? value.value : undefined
}

/**
 * The weights files of a model folder: which they are, and whether they are all of the model.
 *
 * Law: convert_hf_to_gguf.py `index_tensors` (llama.cpp 0c1e570): the files that the index names, else every
 * `model*.safetensors`, by name; where there are none, the same with `pytorch_model*.bin`; rules JS02 to JS06 and JS10 (docs/formats.md). Stricter here: a tensor lies in the file that the
 * index says, no tensor lies in two files, no shard is left over, a set of numbered files without an index is whole.
 */
import { readAll, type ByteSource, type Folder } from '../core/bytes.js'
import { FileSystemError, FormatError, nameList, quoted } from '../core/errors.js'
import type { Shard } from '../core/model.js'
import type { TensorInfo } from '../core/tensor-info.js'
import { readHeader } from '../formats/safetensors/header.js'
import { compareNames } from '../formats/safetensors/name-order.js'
import { INDEX_NAME, MAX_INDEX_BYTES, parseShardIndex, type ShardIndex } from '../formats/safetensors/shard-index.js'
import { readTorchWeights } from './torch-model.js'

/** One weights file, opened. */
export interface OpenedShard extends Shard {
  readonly tensors: readonly TensorInfo[]
}

/** What a file of weights holds. */
export type Weights = Pick<OpenedShard, 'tensors' | 'metadata'>

/** How a model's files are named in a format, and who reads one. */
export interface ShardFormat {
  readonly index: string
  readonly extension: string
  /** Whether a file of the folder is one of them, when there is no index. */
  readonly isOwn: (fileName: string) => boolean
  readonly read: (source: ByteSource) => Promise<Weights>
}

/** The first format that a folder has files of is the model's. */
const FORMATS: readonly ShardFormat[] = [
  { index: INDEX_NAME, extension: '.safetensors', isOwn: (name) => /^model.*\.safetensors$/s.test(name), read: readSafetensors },
  { index: 'pytorch_model.bin.index.json', extension: '.bin', isOwn: (name) => /^pytorch_model.*\.bin$/s.test(name), read: readTorch },
]

const NUMBERED = /^(.*)-(\d{5})-of-(\d{5})\.(?:safetensors|bin)$/
const MOST_BITS_RATIO = 16 // a 4-bit element counted as 8 bytes: no honest total_size is further from the truth
const TOTAL_SIZE_SLACK = 1 << 20 // for tiny models whose tied or dropped tensors were counted

/** The one file of weights in a checkpoint folder of LitGPT. */
export const LITGPT_WEIGHTS = 'lit_model.pth'

/** The weights of such a folder, or undefined when it is none. @throws FormatError */
export async function openLitGptShards(folder: Folder): Promise<readonly OpenedShard[] | undefined> {
  if (!folder.has(LITGPT_WEIGHTS)) return undefined
  const weights = await readTorch(await folder.open(LITGPT_WEIGHTS))
  return [{ fileName: LITGPT_WEIGHTS, ...weights, tensorNames: weights.tensors.map(({ name }) => name) }]
}

/** The weights of a folder, or undefined when it holds none that are a model's. @throws FormatError, FileSystemError */
export async function openShards(folder: Folder): Promise<readonly OpenedShard[] | undefined> {
  for (const format of FORMATS) {
    const shards = await openShardsOf(folder, format)
    if (shards !== undefined) return shards
  }
  return undefined
}

/** The weights of a folder in one format, or undefined when it holds none. @throws FormatError, FileSystemError */
export async function openShardsOf(folder: Folder, format: ShardFormat): Promise<readonly OpenedShard[] | undefined> {
  const index = folder.has(format.index) ? await readIndex(folder, format) : undefined
  const fileNames = index?.fileNames ?? folder.entries.map(({ name }) => name).filter((name) => format.isOwn(name))
  if (fileNames.length === 0) return undefined
  if (index === undefined) requireWholeSet(folder, fileNames, format)
  else requireFiles(folder, index, format)
  const shards: OpenedShard[] = []
  for (const fileName of fileNames) {
    const weights = await format.read(await folder.open(fileName))
    shards.push({ fileName, ...weights, tensorNames: weights.tensors.map(({ name }) => name) })
  }
  requireUnique(folder, shards)
  if (index !== undefined) requireAsIndexed(folder, index, shards, format)
  return shards
}

async function readIndex(folder: Folder, { index, extension }: ShardFormat): Promise<ShardIndex> {
  const source = await folder.open(index)
  return parseShardIndex(await readAll(source, MAX_INDEX_BYTES), source.name, extension)
}

/** The tensors of a safetensors file, by name. @throws FormatError */
export async function readSafetensors(source: ByteSource): Promise<Weights> {
  const { tensors, metadata } = await readHeader(source)
  return { tensors: [...tensors].sort((a, b) => compareNames(a.name, b.name)), metadata }
}

/** The tensors of a PyTorch checkpoint, in its order. @throws FormatError, UnsupportedError */
export async function readTorch(source: ByteSource): Promise<Weights> {
  return { tensors: await readTorchWeights(source), metadata: new Map() }
}

/** All files are there before any work begins, and none of the same set is left over. */
function requireFiles(folder: Folder, { fileNames }: ShardIndex, { index }: ShardFormat): void {
  const place = { file: `${folder.label}/${index}` }
  const missing = fileNames.filter((name) => !folder.has(name))
  if (missing.length > 0) {
    throw new FileSystemError(`names ${nameList(missing)}, which is not in the folder as a regular file: is the download complete?`, place)
  }
  const named = new Set(fileNames)
  const stems = new Set(fileNames.map((name) => NUMBERED.exec(name)?.[1]))
  const extra = folder.entries.map(({ name }) => name).filter((name) => !named.has(name) && NUMBERED.test(name) && stems.has(NUMBERED.exec(name)?.[1]))
  if (extra.length > 0)
    throw new FormatError(`does not name ${nameList(extra)}, which is in the folder: remove the file, or take the index that belongs to it.`, place)
}

/** Numbered files without an index say themselves how many they are. */
function requireWholeSet(folder: Folder, fileNames: readonly string[], { index, extension }: ShardFormat): void {
  const present = new Set(fileNames)
  for (const fileName of fileNames) {
    const [, stem, , count] = NUMBERED.exec(fileName) ?? []
    if (stem === undefined || count === undefined) continue
    for (let i = 1; i <= Number(count); i++) {
      const wanted = `${stem}-${String(i).padStart(5, '0')}-of-${count}${extension}`
      if (!present.has(wanted)) throw new FileSystemError(`${quoted(wanted)} is missing, and so is ${index}: is the download complete?`, { file: folder.label })
    }
  }
}

function requireUnique(folder: Folder, shards: readonly OpenedShard[]): void {
  const homes = new Map<string, string>()
  for (const { fileName, tensorNames } of shards) {
    for (const tensor of tensorNames) {
      const first = homes.get(tensor)
      if (first !== undefined)
        throw new FormatError(`lies in ${quoted(first)} too; each tensor must lie in one file.`, { file: `${folder.label}/${fileName}`, tensor })
      homes.set(tensor, fileName)
    }
  }
}

function requireAsIndexed(folder: Folder, { weightMap, totalSize }: ShardIndex, shards: readonly OpenedShard[], { index }: ShardFormat): void {
  const homes = new Map(shards.flatMap(({ fileName, tensorNames }) => tensorNames.map((name) => [name, fileName] as const)))
  const names = [...weightMap.keys()]
  const faults = [
    ['missing in the files', names.filter((name) => !homes.has(name))],
    ['not in the index', [...homes.keys()].filter((name) => !weightMap.has(name))],
    ['in another file than the index says', names.filter((name) => homes.has(name) && homes.get(name) !== weightMap.get(name))],
  ] as const
  const said = faults.filter(([, tensors]) => tensors.length > 0).map(([fault, tensors]) => `${fault}: ${nameList(tensors, 3)}`)
  const place = { file: `${folder.label}/${index}` }
  if (said.length > 0) throw new FormatError(`index and files disagree; ${said.join('; ')}. They are not of one model, or the download is incomplete.`, place)

  const bytes = shards.reduce((sum, { tensors }) => tensors.reduce((shard, { byteLength }) => shard + byteLength, sum), 0)
  if (totalSize !== undefined && totalSize > bytes * MOST_BITS_RATIO + TOTAL_SIZE_SLACK) {
    throw new FormatError(`total_size is ${totalSize}, the files hold ${bytes} bytes of tensors: the index belongs to another model, or is damaged.`, place)
  }
}

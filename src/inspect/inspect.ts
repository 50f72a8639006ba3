/**
 * Finds out what a file or folder is and holds: tensors, metadata, facts of its config, and whether all of it obeys the
 * rules of its format. Reads headers only; with `hash` all tensor data, in pieces of 1 MiB. Data only: cli prints it.
 */
import { openAdapterFile } from '../adapters/formats.js'
import { isTrainingFile } from '../adapters/training-folder.js'
import { readAll, type ByteSource } from '../core/bytes.js'
import { lastPart } from '../core/paths.js'
import { FileSystemError, FormatError, nameList } from '../core/errors.js'
import { parseJsonObject } from '../core/json.js'
import { checkMember } from '../core/members.js'
import type { TensorInfo } from '../core/tensor-info.js'
import { readGgufHeader } from '../formats/gguf/header.js'
import { readHeader } from '../formats/safetensors/header.js'
import { INDEX_NAME, MAX_INDEX_BYTES, parseShardIndex } from '../formats/safetensors/shard-index.js'
import { readCheckpoint } from '../formats/torch/checkpoint.js'
import { rangeDigests } from '../sources/digest.js'
import { openDescriptor, openFile, openFolder, pathKind, type LocalFolder } from '../sources/files.js'
import { MAX_CONFIG_BYTES, openModelFolder, readConfig } from '../sources/model.js'
import { fileKind, notAModel } from '../sources/recognize.js'
import { TORCH_EXTENSION } from '../sources/torch-model.js'
import { checkConfig } from './check-config.js'
import { requireFinite } from './check-finite.js'
import { metadataOf, type InspectedFile, type InspectedMetadata, type InspectedTensor, type Inspection } from './inspection.js'

export interface InspectOptions {
  /** Read all data and give the sha256 of each tensor. */
  readonly hash?: boolean
}

/** A weights file, read. */
interface Weights {
  readonly file: InspectedFile
  readonly tensors: readonly InspectedTensor[]
  readonly metadata: readonly InspectedMetadata[]
}

const CONFIG = 'config.json'
const ADAPTER_CONFIG = 'adapter_config.json'

/**
 * Inspects any file or folder.
 * @throws FormatError, UnsupportedError, FileSystemError
 */
export async function inspect(path: string, options: InspectOptions = {}): Promise<Inspection> {
  const hash = options.hash ?? false
  return (await pathKind(path)) === 'folder' ? inspectFolder(await openFolder(path), hash) : inspectFile(await openFile(path), hash)
}

async function inspectFile(source: ByteSource, hash: boolean): Promise<Inspection> {
  const name = lastPart(source.name)
  const kind = await fileKind(source)
  if (kind === 'json') return inspectJson(source, name)
  const weights = await readWeights(source, name, hash)
  return {
    kind: kind === 'gguf' ? kind : 'weights',
    label: source.name,
    files: [weights.file],
    ...weightsOf([weights]),
    config: undefined,
    adapter: undefined,
    notes: [],
  }
}

/** A side file alone: an index or a config. */
async function inspectJson(source: ByteSource, name: string): Promise<Inspection> {
  const rest = { label: source.name, files: [{ name, byteLength: source.byteLength, format: 'json' }], tensors: [], metadata: [], adapter: undefined }
  const [, extension] = /(\.safetensors|\.bin)\.index\.json$/.exec(name) ?? []
  if (extension !== undefined) {
    const { weightMap, fileNames } = parseShardIndex(await readAll(source, MAX_INDEX_BYTES), source.name, extension)
    return {
      kind: 'index',
      ...rest,
      config: undefined,
      notes: [`Names ${weightMap.size} tensors in ${fileNames.length} files; inspect the folder to see whether they are there.`],
    }
  }
  const root = parseJsonObject(await readAll(source, MAX_CONFIG_BYTES), source.name, { infinity: name === CONFIG })
  if (name !== CONFIG) throw new FormatError(`is a JSON file that holds no tensors. Name the folder it belongs to.`, { file: source.name })
  return { kind: 'config', ...rest, config: checkConfig(root, source.name, true), notes: [] }
}

const MODEL_FILE = /^(?:model.*\.safetensors|pytorch_model.*\.bin)$/

async function inspectFolder(folder: LocalFolder, hash: boolean): Promise<Inspection> {
  if (folder.has(INDEX_NAME) || folder.has('pytorch_model.bin.index.json') || folder.entries.some(({ name }) => MODEL_FILE.test(name)))
    return inspectModel(folder, hash)
  if (folder.has(ADAPTER_CONFIG)) return inspectAdapter(folder, hash)
  const names = folder.entries.map(({ name }) => name)
  const weights = names.filter((name) => /\.(?:safetensors|gguf)$/i.test(name))
  const torch = weights.length > 0 ? [] : names.filter((name) => TORCH_EXTENSION.test(name) && !isTrainingFile(name))
  if (weights.length + torch.length > 0) return inspectLooseFiles(folder, [...weights, ...torch], hash)
  if (folder.has(CONFIG)) return inspectJsonOf(folder)
  if (folder.brokenLinks.length > 0) throw new FileSystemError(`${nameList(folder.brokenLinks)} is a link that leads to no file.`, { file: folder.label })
  throw notAModel(folder)
}

async function inspectJsonOf(folder: LocalFolder): Promise<Inspection> {
  return { ...(await inspectJson(await folder.open(CONFIG), CONFIG)), label: folder.label, files: listed(folder, []) }
}

async function inspectModel(folder: LocalFolder, hash: boolean): Promise<Inspection> {
  const { shards } = await openModelFolder(folder)
  const config = await readConfig(folder)
  const facts = config && checkConfig(config, `${folder.label}/${CONFIG}`, false)
  const read: Weights[] = []
  for (const { fileName } of shards) read.push(await readWeights(await folder.open(fileName), fileName, hash))
  const notes = facts === undefined ? ['There is no config.json: the model can be merged, but not converted.'] : []
  return { kind: 'model', label: folder.label, files: listed(folder, read), ...weightsOf(read), config: facts, adapter: undefined, notes }
}

async function inspectAdapter(folder: LocalFolder, hash: boolean): Promise<Inspection> {
  const { facts, files, modules, notes } = await openAdapterFile(folder)
  const read: Weights[] = []
  await requireFinite(modules.flatMap(({ factors }) => [...factors.values()]))
  for (const name of files.filter((file) => !file.endsWith('.json'))) read.push(await readWeights(await folder.open(name), name, hash))
  return { kind: 'adapter', label: folder.label, files: listed(folder, read), ...weightsOf(read), config: undefined, adapter: facts, notes }
}

/** Weights under other names: each file is read for itself. */
async function inspectLooseFiles(folder: LocalFolder, names: readonly string[], hash: boolean): Promise<Inspection> {
  const read: Weights[] = []
  for (const name of names) read.push(await readWeights(await folder.open(name), name, hash))
  const config = await readConfig(folder)
  const facts = config && checkConfig(config, `${folder.label}/${CONFIG}`, false)
  const kind = read.every(({ file }) => file.format === 'gguf') ? 'gguf' : 'weights'
  return { kind, label: folder.label, files: listed(folder, read), ...weightsOf(read), config: facts, adapter: undefined, notes: [] }
}

async function readWeights(source: ByteSource, file: string, hash: boolean): Promise<Weights> {
  const kind = await fileKind(source)
  if (kind === 'torch') return readTorch(source, file, hash)
  return kind === 'gguf' ? readGguf(source, file, hash) : readSafetensors(source, file, hash)
}

/** With `hash`, every record of the archive is held against its checksum, used or not. */
async function readTorch(source: ByteSource, file: string, hash: boolean): Promise<Weights> {
  const { tensors, members } = await readCheckpoint(source)
  if (hash) for (const member of members) await checkMember(member, source)
  const inspected: InspectedTensor[] = []
  for (const tensor of tensors) {
    const { name, dtype, shape, byteLength } = tensor
    const [sha256] = hash ? await rangeDigests(openDescriptor(tensor.source), [tensor]) : []
    inspected.push({ name, dtype, shape, file, offset: offsetInFile(tensor), byteLength, sha256 })
  }
  return { file: { name: file, byteLength: source.byteLength, format: 'pytorch' }, tensors: inspected, metadata: [] }
}

/** Where a tensor's data begins: its first element, or the deflated record that holds it. */
function offsetInFile({ source, offset }: Pick<TensorInfo, 'source' | 'offset'>): number {
  if (source.kind === 'strided') return offsetInFile({ source: source.storage, offset: source.view.offset })
  return source.kind === 'member' ? source.offset + (source.deflated ? 0 : offset) : offset
}

async function readSafetensors(source: ByteSource, file: string, hash: boolean): Promise<Weights> {
  const { tensors, metadata } = await readHeader(source)
  const digests = hash ? await rangeDigests(source, tensors) : []
  return {
    file: { name: file, byteLength: source.byteLength, format: 'safetensors' },
    tensors: tensors.map(({ name, dtype, shape, offset, byteLength }, i) => ({ name, dtype, shape, file, offset, byteLength, sha256: digests[i] })),
    metadata: [...metadata].map(([key, value]) => ({ file, key, type: 'string', value })),
  }
}

async function readGguf(source: ByteSource, file: string, hash: boolean): Promise<Weights> {
  const { tensors, keyValues } = await readGgufHeader(source)
  const digests = hash ? await rangeDigests(source, tensors) : []
  return {
    file: { name: file, byteLength: source.byteLength, format: 'gguf' },
    tensors: tensors.map(({ name, type, shape, offset, byteLength }, i) => ({
      name,
      dtype: type.toUpperCase(),
      shape,
      file,
      offset,
      byteLength,
      sha256: digests[i],
    })),
    metadata: keyValues.map((keyValue) => metadataOf(file, keyValue)),
  }
}

function weightsOf(read: readonly Weights[]): Pick<Inspection, 'tensors' | 'metadata'> {
  return { tensors: read.flatMap(({ tensors }) => tensors), metadata: read.flatMap(({ metadata }) => metadata) }
}

/** The folder's files, and shards in subfolders; those that were read say as what. */
function listed(folder: LocalFolder, read: readonly Weights[]): readonly InspectedFile[] {
  const readFiles = new Map(read.map(({ file }) => [file.name, file]))
  const others = folder.entries.filter(({ name }) => !readFiles.has(name))
  const rest = others.map(({ name, byteLength }) => ({ name, byteLength, format: name.endsWith('.json') ? 'json' : 'other' }))
  return [...rest, ...readFiles.values()].sort((a, b) => (a.name < b.name ? -1 : 1))
}

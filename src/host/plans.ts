/** Plans from paths: opens inputs, finds the place of the output, and calls the pure planners. */
import { accessSync, constants, existsSync, readFileSync, realpathSync, statSync } from 'node:fs'
import { basename, dirname, join, relative, resolve, sep } from 'node:path'
import type { ByteDescriptor } from '../core/bytes.js'
import { FileSystemError, FormatError, UsageError } from '../core/errors.js'
import { parseJsonObject, type JsonObject } from '../core/json.js'
import { combineRule } from '../merge/combine-rule.js'
import { asksForQuantizer } from '../plan/gguf-source.js'
import { planGguf as planGgufPure } from '../plan/plan-gguf.js'
import { planMerge as planMergePure } from '../plan/plan-merge.js'
import { planPipeline } from '../plan/plan-pipeline.js'
import { planRegguf, type RegGufRequest } from '../plan/plan-regguf.js'
import type { QuantizeRequest } from '../plan/quantize-stage.js'
import type { Plan } from '../plan/plan.js'
import { TORCH_FILE } from '../plan/weights-file.js'
import { openDescriptor, openFile } from '../sources/files.js'
import { isPipeline } from '../sources/pipeline.js'
import { checkFileName } from './file-names.js'
import { openInputs } from './inputs.js'
import { openQuantization, recordedQuantization } from './quantization.js'
import { openPipelineInputs } from './pipelines.js'
import { refuseInputFiles } from './refuse-inputs.js'
import type { AdapterOption, CommonOptions, GgufOptions, MergeOptions } from './options.js'

const FOLDER_RECEIPT = 'lora-to-gguf.receipt.json'
const MOST_METADATA_BYTES = 8_388_608

/**
 * Plans a merge into a folder, a .safetensors file, or a state dict for torch (.pt, .pth, .bin).
 * @throws ToolkitError
 */
export async function planMerge(options: MergeOptions): Promise<Plan> {
  if (options.adapters.length === 0) throw new UsageError('no adapter is given: nothing to merge.')
  if (existsSync(options.base) && (await isPipeline(options.base))) return planPipelineMerge(options)
  const { base, adapters, combine, tokenizer, promptStyle, decisions, warnings, consulted } = await openInputs(options.base, options.adapters, 'merge', options)
  const kind = /\.safetensors$/i.test(options.out) ? 'safetensors' : TORCH_FILE.test(options.out) ? 'torch' : 'folder'
  const name = checkFileName(basename(resolve(options.out)))
  const root = kind === 'folder' ? options.out : dirname(resolve(options.out))
  const plan = await planMergePure({
    base,
    adapters,
    combine,
    output: kind === 'folder' ? { kind, root } : { kind, root, name },
    dtype: options.dtype,
    maxShardBytes: options.maxShardBytes,
    tokenizer,
    promptStyle,
    receipt: receiptName(options.receipt, root, kind === 'folder' ? FOLDER_RECEIPT : `${name}.receipt.json`),
    clampOverflow: options.clampOverflow ?? false,
    tileElements: options.tileElements,
    options: recordedMerge(options),
    decisions,
  })
  refuseInputFiles(plan, [options.base, ...options.adapters.map(({ path }) => path), options.tokenizer ?? ''])
  return { ...plan, warnings: [...warnings, ...plan.warnings], consulted: [...consulted] }
}

/** The same for the folder of a diffusion pipeline. */
async function planPipelineMerge(options: MergeOptions): Promise<Plan> {
  if (/\.safetensors$/i.test(options.out) || TORCH_FILE.test(options.out))
    throw new UsageError('the base is a pipeline of several models: OUT is a folder, not one file.', { file: options.out })
  const { consulted, folders, ...inputs } = await openPipelineInputs(options)
  const plan = await planPipeline({
    ...inputs,
    combine: combineRule(options),
    root: options.out,
    dtype: options.dtype,
    maxShardBytes: options.maxShardBytes,
    receipt: receiptName(options.receipt, options.out, FOLDER_RECEIPT),
    clampOverflow: options.clampOverflow ?? false,
    tileElements: options.tileElements,
    options: recordedMerge(options),
  })
  refuseInputFiles(plan, [options.base, ...folders, ...options.adapters.map(({ path }) => path)])
  return { ...plan, consulted: [...consulted] }
}

function recordedMerge(options: MergeOptions): Plan['options'] {
  const { dtype, maxShardBytes, tokenizer, clampOverflow, likePeft, components } = options
  return recorded({
    dtype: dtype ?? 'auto',
    maxShardBytes,
    tokenizer: recordedTokenizer(tokenizer),
    clampOverflow,
    likePeft,
    components: components?.join(','),
    ...recordedFormat(options),
    dequantizeBase: options.dequantizeBase,
  })
}

/**
 * Plans a GGUF, with adapters fused when there are any.
 * @throws ToolkitError
 */
export async function planGguf(options: GgufOptions): Promise<Plan> {
  if (options.vocabOnly === true && options.noVocab === true) throw new UsageError('--vocab-only and --no-vocab exclude each other.')
  const kind = options.vocabOnly === true ? 'vocabulary' : 'convert'
  const { base, adapters, backwards, combine, tokenizer, decisions, warnings, consulted } = await openInputs(
    options.model,
    options.adapters ?? [],
    kind,
    options,
  )
  const output = outputPlace(options)
  const quantize = await openQuantization(options.quantize)
  if (base.gguf !== undefined) return planFromGguf(options, { base: { ...base, gguf: base.gguf }, adapters, backwards, combine, quantize, consulted })
  if (options.outtype === 'copy') throw new UsageError('--outtype copy is for GGUF files; a folder is converted: name a type, or auto.')
  if (options.keepSplit === true) throw new UsageError('--keep-split is for GGUF files; for a folder say --split-max-size or --split-max-tensors.')
  const plan = await planGgufPure({
    base,
    adapters,
    combine,
    outtype: options.outtype ?? 'auto',
    quantize,
    split: options.split,
    output,
    modelName: options.modelName,
    metadata: options.metadata === undefined ? undefined : readMetadata(options.metadata),
    noNextn: options.noNextn,
    vocabulary: options.vocabOnly === true ? 'only' : options.noVocab === true ? 'none' : 'full',
    pre: options.pre,
    tokenizer: tokenizer?.folder,
    openBytes: openDescriptor,
    readExisting: options.modelfile === false ? undefined : (name) => Promise.resolve(readText(join(output.root, name))),
    receiptFor: options.receipt === false ? undefined : (fileName) => receiptName(options.receipt, output.root, `${fileName}.receipt.json`) ?? '',
    clampOverflow: options.clampOverflow ?? false,
    tileElements: options.tileElements,
    options: recorded({
      outtype: options.outtype ?? 'auto',
      ...recordedQuantization(options),
      modelName: options.modelName,
      metadata: options.metadata === undefined ? undefined : basename(options.metadata),
      pre: options.pre,
      tokenizer: recordedTokenizer(options.tokenizer),
      vocabOnly: options.vocabOnly,
      noVocab: options.noVocab,
      noNextn: options.noNextn,
      clampOverflow: options.clampOverflow,
      likePeft: options.likePeft,
      ...recordedFormat(options),
      dequantizeBase: options.dequantizeBase,
    }),
    decisions,
  })
  refuseInputFiles(plan, [options.model, ...(options.adapters ?? []).map(({ path }) => path), options.tokenizer ?? '', options.metadata ?? ''])
  return {
    ...plan,
    warnings: [...warnings, ...plan.warnings],
    consulted: [...consulted, ...(await descriptorsOf([options.metadata, options.quantize?.imatrix]))],
  }
}

async function descriptorsOf(paths: readonly (string | undefined)[]): Promise<ByteDescriptor[]> {
  return Promise.all(paths.flatMap((path) => (path === undefined ? [] : [openFile(path).then(({ descriptor }) => descriptor)])))
}

interface OpenedGguf extends Pick<RegGufRequest, 'base' | 'adapters' | 'backwards' | 'combine'> {
  readonly quantize: Omit<QuantizeRequest, 'fileType'>
  readonly consulted: ReadonlySet<ByteDescriptor>
}

/** The same from a GGUF: what is derived from a folder is in its metadata already. */
async function planFromGguf(options: GgufOptions, { base, adapters, backwards, combine, quantize, consulted }: OpenedGguf): Promise<Plan> {
  refuseFolderOptions(options)
  refuseTypeOptions(options, quantize)
  if (options.outtype === 'auto') throw new UsageError('--outtype auto is for folders; leave it out to keep every tensor’s type, or name a type.')
  const output =
    options.outfile === undefined
      ? { root: adapters.length > 0 || !isOwnFolder(dirname(options.model)) ? '.' : dirname(options.model), name: undefined }
      : outputPlace(options)
  const plan = await planRegguf({
    base,
    adapters,
    backwards,
    combine,
    quantize: options.outtype === undefined ? undefined : { ...quantize, fileType: options.outtype },
    output,
    split: options.split,
    keepSplit: options.keepSplit,
    readExisting: options.modelfile === false ? undefined : (name) => Promise.resolve(readText(join(output.root, name))),
    receiptFor: options.receipt === false ? undefined : (fileName) => receiptName(options.receipt, output.root, `${fileName}.receipt.json`) ?? '',
    clampOverflow: options.clampOverflow ?? false,
    tileElements: options.tileElements,
    options: recorded({
      outtype: options.outtype,
      ...recordedQuantization(options),
      clampOverflow: options.clampOverflow,
      likePeft: options.likePeft,
      ...recordedFormat(options),
    }),
  })
  const parts = base.gguf.parts.flatMap(({ source }) => (source.kind === 'file' ? [source.path] : []))
  refuseInputFiles(plan, [...parts, ...(options.adapters ?? []).map(({ path }) => path), options.quantize?.imatrix ?? ''])
  return { ...plan, consulted: [...consulted, ...(await descriptorsOf([options.quantize?.imatrix]))] }
}

function refuseTypeOptions({ outtype, keepSplit, split }: GgufOptions, quantize: Omit<QuantizeRequest, 'fileType'>): void {
  if (keepSplit === true && (split?.maxBytes ?? split?.maxTensors) !== undefined)
    throw new UsageError('--keep-split and new limits for parts exclude each other.')
  if (outtype === undefined && asksForQuantizer(quantize))
    throw new UsageError('options of quantization are given, but no type: add --outtype TYPE, or --outtype copy, which keeps every tensor’s type.')
}

function refuseFolderOptions({ vocabOnly, noVocab, pre, metadata, modelName, tokenizer }: GgufOptions): void {
  const given = Object.entries({
    '--vocab-only': vocabOnly,
    '--no-vocab': noVocab,
    '--pre': pre,
    '--metadata': metadata,
    '--model-name': modelName,
    '--tokenizer': tokenizer,
  })
  const wrong = given.filter(([, value]) => value !== undefined && value !== false).map(([name]) => name)
  if (wrong.length > 0) throw new UsageError(`${wrong.join(', ')}: for a model folder; a GGUF keeps its metadata (change a key with --override-kv).`)
}

/** Folder and file name; the default place is the model's folder, or the current one where that is not ours to write to. */
function outputPlace({ outfile, model, adapters }: GgufOptions): { root: string; name: string | undefined } {
  if (outfile === undefined) return { root: (adapters?.length ?? 0) > 0 || !isOwnFolder(model) ? '.' : model, name: undefined }
  if (/[\\/]$/.test(outfile) || isFolder(outfile)) return { root: outfile, name: undefined }
  return { root: dirname(outfile), name: checkFileName(basename(resolve(outfile))) }
}

/** Folders of download caches, which other programs manage: `models--org--name/snapshots/…` of Hugging Face, and what lies in any `.cache`. */
const CACHE = /[\\/](?:models--[^\\/]+[\\/]snapshots|\.cache|\.ollama)[\\/]/

/** Writable, and not part of a download cache. */
function isOwnFolder(path: string): boolean {
  try {
    accessSync(path, constants.W_OK)
    return !CACHE.test(`${realpathSync(path)}/`)
  } catch {
    return false
  }
}

function isFolder(path: string): boolean {
  return existsSync(path) && statSync(path).isDirectory()
}

/** Relative to the plan's root, so that a plan names no absolute place. */
function receiptName(asked: string | false | undefined, root: string, usual: string): string | undefined {
  if (asked === false) return undefined
  return asked === undefined ? usual : relative(resolve(root), resolve(asked)).split(sep).join('/') || usual
}

function readMetadata(path: string): JsonObject {
  let bytes: Uint8Array
  try {
    bytes = readFileSync(path)
  } catch {
    throw new FileSystemError('cannot be read.', { file: path })
  }
  if (bytes.byteLength > MOST_METADATA_BYTES) throw new FormatError(`is ${bytes.byteLength} bytes, too large for a metadata file.`, { file: path })
  return parseJsonObject(bytes, path)
}

/** Undefined when nothing is there; empty, which is no text of ours, when something is that cannot be read. */
function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return existsSync(path) ? '' : undefined
  }
}

/** A receipt names no places: of a folder, its last part. */
function recordedTokenizer(asked: string | undefined): string | undefined {
  return asked === undefined || asked === 'base' || asked === 'adapter' ? asked : basename(resolve(asked))
}

function recordedFormat(options: CommonOptions): Record<string, string | number | boolean | undefined> {
  const { alpha, enableLora, fanInFanOut, state, expertMajorB, baseIsResidual, combine, density, majoritySign, svdRank } = options
  return {
    ...{ expertMajorB, baseIsResidual, combine, density, majoritySign, svdRank, alpha, state },
    ...{ enableLora: enableLora?.join(','), fanInFanOut: fanInFanOut === undefined ? undefined : String(fanInFanOut) },
  }
}

function recorded(options: Record<string, string | number | boolean | undefined>): Plan['options'] {
  return Object.fromEntries(
    Object.entries(options).filter((entry): entry is [string, string | number | boolean] => entry[1] !== undefined && entry[1] !== false),
  )
}

export type { AdapterOption }

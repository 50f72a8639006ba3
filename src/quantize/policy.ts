/**
 * Which tensor gets which type, and in which order: llama-quantize's decisions as one pure function. Headers in, plain
 * data out; no weights are read.
 *
 * Choices, the first that speaks: not to be quantized > --token-embedding-type > --output-tensor-type >
 * --tensor-type > --pure > the mixture of the file type (mixtures.ts); then the fallback for rows that are no whole
 * blocks. Some choices count the tensors seen before, so the order of the file is part of them.
 *
 * Law: llama-quant.cpp `llama_model_quantize_impl`, `llama_tensor_get_type` (llama.cpp 0c1e570).
 */
import { isEncodedType } from '../core/arithmetic.js'
import { MismatchError, UnsupportedError, UsageError } from '../core/errors.js'
import { QUANT_TYPES, type QuantType } from '../core/quant-types.js'
import { fileTypeRow, type NamedFileType } from './file-types.js'
import { FALLBACKS, NEED_IMPORTANCE } from './mixtures.js'
import { MixtureChooser } from './policy-chooser.js'
import type { QuantizeHparams } from './policy-hparams.js'
import { pruneLayers } from './policy-layers.js'
import { fallbackNotes, importanceNotes, overrideNotes } from './policy-notes.js'
import { compareTensorNames, mayQuantize, PER_LAYER_EMBEDDING, tensorCategory, type TensorCategory } from './tensor-categories.js'
import { compileOverrides, type CompiledOverride, type TypeOverride } from './type-overrides.js'

/** A tensor as the source holds it. */
export interface QuantizeSource {
  /** In GGUF. */
  readonly name: string
  /** Outermost dimension first. */
  readonly shape: readonly number[]
  readonly storedType: QuantType
}

/** The options of llama-quantize that decide about types. */
export interface QuantizeOptions {
  /** Every matrix gets the file type's own type. */
  readonly pure?: boolean
  /** `output.weight` stays as it is stored. */
  readonly leaveOutputTensor?: boolean
  /** For `output.weight`, and for the embedding that stands in for it. */
  readonly outputTensorType?: QuantType
  readonly tokenEmbeddingType?: QuantType
  /** The first whose pattern is found in the name decides. */
  readonly tensorTypes?: readonly TypeOverride[]
  /** Tensors that are stored quantized may be dequantized and quantized again. */
  readonly allowRequantize?: boolean
  /** Layers to take out, ascending. */
  readonly pruneLayers?: readonly number[]
  /** --keep-split: tensors stay in the order given. */
  readonly keepOrder?: boolean
  /** Sizes are wanted, not a file: neither importance nor leave to quantize again is asked for. */
  readonly dryRun?: boolean
}

export interface QuantizeRequest {
  /** `copy` writes every tensor as it is stored. */
  readonly fileType: NamedFileType | 'copy'
  /** `general.architecture` */
  readonly architecture: string
  readonly hparams: QuantizeHparams
  /** In any order. */
  readonly tensors: readonly QuantizeSource[]
  /** How many weights the importance matrix has for a tensor, by its name in the source; undefined for none. Left out without an importance matrix. */
  readonly importance?: (name: string) => number | undefined
  readonly options?: QuantizeOptions
}

export interface QuantizedTensor {
  /** Of the request's tensors. */
  readonly index: number
  /** Other than in the source where layers were pruned. */
  readonly name: string
  readonly type: QuantType
  /** False: the bytes are copied. */
  readonly quantized: boolean
  /** The type that was chosen, where rows are no whole blocks of it. */
  readonly fallbackFrom?: QuantType
  /** The pattern that chose the type. */
  readonly chosenBy?: string
  /** The encoder gets the importance of this name: for each matrix of rows, one weight for each column. */
  readonly importance?: string
  /** There is an importance matrix, but it has nothing for this tensor, or (embeddings only) for another shape. */
  readonly lacksImportance?: true
}

export interface QuantizePlan {
  /** In the order of the file. */
  readonly tensors: readonly QuantizedTensor[]
  /** New `block_count`, where layers were pruned. */
  readonly layers?: number
  /** For the user, one sentence each: fallbacks, tensors without importance, patterns that match nothing. */
  readonly notes: readonly string[]
}

/**
 * Decides order and types.
 * @throws UsageError when a stored type may not be quantized again, or the file type wants an importance matrix
 * @throws UnsupportedError for sources that cannot be dequantized, and types without a fallback
 * @throws MismatchError when importance and tensor differ in size, or rows do not fit a type that has no fallback
 * @throws FormatError when the layer of an expert's tensor cannot be told
 */
export function quantizePlan(request: QuantizeRequest): QuantizePlan {
  const { tensors, options = {} } = request
  const pruned =
    options.pruneLayers === undefined || options.pruneLayers.length === 0
      ? undefined
      : pruneLayers(
          tensors.map(({ name }) => name),
          options.pruneLayers,
        )
  const candidates = tensors.flatMap((source, index): Candidate[] => {
    const name = pruned === undefined ? source.name : pruned.names.get(source.name)
    return name === undefined ? [] : [{ index, source, name, shape: source.shape, category: tensorCategory(name) }]
  })
  // a prune map keeps the order of layers, so sorting by new names is sorting by old ones
  if (options.keepOrder !== true) candidates.sort((a, b) => compareTensorNames(a.name, b.name))
  const decided = decideAll(request, candidates)
  return { tensors: decided.tensors, ...(pruned === undefined ? {} : { layers: pruned.layers }), notes: decided.notes }
}

interface Candidate {
  readonly index: number
  readonly source: QuantizeSource
  /** After pruning. */
  readonly name: string
  readonly shape: readonly number[]
  readonly category: TensorCategory
}

/** A type and how it came about. */
interface Decision {
  readonly type: QuantType
  readonly fallbackFrom?: QuantType
  readonly chosenBy?: string
}

function decideAll(request: QuantizeRequest, candidates: readonly Candidate[]): { tensors: QuantizedTensor[]; notes: string[] } {
  const { fileType, architecture, hparams, importance, options = {} } = request
  const overrides = compileOverrides(options.tensorTypes ?? [])
  if (fileType === 'copy') {
    return { tensors: candidates.map(({ index, name, source }) => ({ index, name, type: source.storedType, quantized: false })), notes: [] }
  }
  const categories = candidates.map(({ category }) => category)
  const chooser = new MixtureChooser({
    fileType,
    architecture,
    hparams,
    imatrix: importance !== undefined,
    categories,
    outputTensorType: options.outputTensorType,
  })
  const tensors = candidates.map((candidate) => {
    const allowed = mayQuantize(candidate.name, candidate.shape, architecture, options.leaveOutputTensor ?? false)
    return settle(candidate, allowed ? decideType(candidate, fileType, options, overrides, chooser) : undefined, request)
  })
  const names = candidates.map(({ name }) => name)
  return {
    tensors,
    notes: [
      ...fallbackNotes(tensors, request.tensors),
      ...importanceNotes(tensors),
      ...overrideNotes(names, overrides, isQuantized(fileTypeRow(fileType).type)),
    ],
  }
}

/** The type of a tensor that may be quantized. */
function decideType(
  candidate: Candidate,
  fileType: NamedFileType,
  options: QuantizeOptions,
  overrides: readonly CompiledOverride[],
  chooser: MixtureChooser,
): Decision {
  const { name, category } = candidate
  const override = overrides.find(({ search }) => search(name))
  // the option for embeddings speaks for the per-layer table too, unless a pattern names it
  if (options.tokenEmbeddingType !== undefined && category === 'tokenEmbedding' && !(name === PER_LAYER_EMBEDDING && override !== undefined)) {
    return demanded(candidate, options.tokenEmbeddingType, '--token-embedding-type')
  }
  if (options.outputTensorType !== undefined && category === 'output') return demanded(candidate, options.outputTensorType, '--output-tensor-type')
  const { type: ownType } = fileTypeRow(fileType)
  if (!isQuantized(ownType)) return { type: ownType }
  if (override !== undefined) return { ...fitting(candidate, override.type), chosenBy: override.pattern }
  return fitting(candidate, options.pure === true ? ownType : chooser.choose(candidate))
}

/** A type that one option asks for one tensor: it fits, or the option is wrong. */
function demanded({ name, shape }: Candidate, type: QuantType, option: string): Decision {
  if (fits(shape, type)) return { type, chosenBy: option }
  throw new MismatchError(
    `${option} ${type} wants rows of a multiple of ${QUANT_TYPES[type].blockElements} elements, and the tensor's have ${shape.at(-1)}: choose another type.`,
    {
      tensor: name,
    },
  )
}

function fitting({ name, shape }: Candidate, type: QuantType): Decision {
  if (fits(shape, type)) return { type }
  const smaller = FALLBACKS.get(type)
  if (smaller === undefined && QUANT_TYPES[type].blockElements > 32) {
    throw new UnsupportedError(`rows of ${shape.at(-1)} elements are no whole blocks of ${type}, and there is no fallback for that type.`, { tensor: name })
  }
  return { type: smaller !== undefined && fits(shape, smaller) ? smaller : 'f16', fallbackFrom: type }
}

function fits(shape: readonly number[], type: QuantType): boolean {
  return (shape.at(-1) ?? 1) % QUANT_TYPES[type].blockElements === 0
}

function isQuantized(type: QuantType): boolean {
  return QUANT_TYPES[type].blockElements > 1
}

/** Turns a decision into an entry of the plan; undefined stands for a tensor that is kept as it is stored. */
function settle(candidate: Candidate, decision: Decision | undefined, request: QuantizeRequest): QuantizedTensor {
  const { index, name, source } = candidate
  if (decision === undefined) return { index, name, type: source.storedType, quantized: false }
  const quantized = decision.type !== source.storedType
  if (request.options?.dryRun !== true) checkPossible(candidate, decision.type, request)
  if (!quantized || request.importance === undefined) return { index, name, ...decision, quantized }
  return { index, name, ...decision, quantized, ...(hasImportance(candidate, request) ? { importance: source.name } : { lacksImportance: true }) }
}

/** @throws UsageError, UnsupportedError when the source cannot become the type */
function checkPossible(candidate: Candidate, type: QuantType, request: QuantizeRequest): void {
  const { storedType } = candidate.source
  const place = { tensor: candidate.name }
  if (needsImportance(candidate.category, type, request.fileType) && !hasImportance(candidate, request)) {
    const wayOut = request.importance === undefined ? ': add --imatrix FILE' : ', and the one given has nothing for this tensor'
    throw new UsageError(`${type} needs an importance matrix${wayOut}, or choose another type.`, place)
  }
  if (type === storedType) return
  if (isQuantized(storedType) && request.options?.allowRequantize !== true) {
    throw new UsageError(
      `is stored as ${storedType}, and quantizing it again as ${type} loses more than quantizing the original: start from a float file, or add --allow-requantize.`,
      place,
    )
  }
  if (!isEncodedType(storedType)) throw new UnsupportedError(`is stored as ${storedType}, which cannot be turned into ${type}.`, place)
}

function needsImportance(category: TensorCategory, type: QuantType, fileType: QuantizeRequest['fileType']): boolean {
  if (category === 'tokenEmbedding' || category === 'output') return false
  return NEED_IMPORTANCE.has(type) || (type === 'q2_k' && fileType === 'q2_k_s')
}

/** Whether the importance matrix has weights for the tensor: one for each column, for each matrix of a stack. */
function hasImportance({ name, source, shape, category }: Candidate, { importance }: QuantizeRequest): boolean {
  const found = importance?.(source.name)
  if (found === undefined) return false
  const wanted = (shape.at(-1) ?? 1) * (shape.at(-3) ?? 1)
  if (found === wanted) return true
  if (category === 'tokenEmbedding') return false
  throw new MismatchError(`the importance matrix has ${found} weights for this tensor, which wants ${wanted}: it belongs to another model.`, { tensor: name })
}

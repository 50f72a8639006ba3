/** What callers of the library and of the commands can ask for. */
import type { SavedState } from '../adapters/adapter-file.js'
import type { PlainFloat } from '../core/dtypes.js'
import type { KeyValue } from '../core/key-value.js'
import type { CombineOptions } from '../merge/combine-rule.js'
import type { SplitLimits } from '../plan/gguf-layout.js'
import type { AnyFileType } from '../quantize/file-types.js'
import type { QuantizeOptions } from '../quantize/policy.js'

export interface AdapterOption {
  /** Folder of the adapter, or its weights file. */
  readonly path: string
  /** Factor on its delta; 1 unless given, negative takes it out again, 0 leaves it out. */
  readonly weight?: number
}

export interface CommonOptions extends CombineOptions {
  /** `base`, `adapter`, or a folder. Unless given: the adapter's where it differs from the base's. */
  readonly tokenizer?: string | undefined
  /** Name of the receipt, or false for none. Unless given it lies beside the output. */
  readonly receipt?: string | false | undefined
  /** Clamp what would become infinite in a narrow type, instead of refusing. */
  readonly clampOverflow?: boolean | undefined
  /** PEFT's own result where that differs from the trained model: output and embedding that the base shares get the deltas of both. */
  readonly likePeft?: boolean | undefined
  /** lora_alpha, for adapters whose files do not hold it (loralib). */
  readonly alpha?: number | undefined
  /** Which slices of fused matrices were trained (loralib's enable_lora), where the file does not show it. */
  readonly enableLora?: readonly boolean[] | undefined
  /** Whether square matrices of the base are stored (in x out), for adapters that do not say it (loralib). */
  readonly fanInFanOut?: boolean | undefined
  /** How a file of weights and factors together (loralib's full state dict) was saved: `eval`, the weights hold the update, or `train`. Needed where it is the base too. */
  readonly state?: SavedState | undefined
  /** B of fused experts is packed expert by expert, as Unsloth had it until September 2026: for adapters that do not say so themselves. */
  readonly expertMajorB?: boolean | undefined
  /** Read the weights of a quantized base as plain numbers, whatever it loses against the model that it was made from. */
  readonly dequantizeBase?: boolean | undefined
  /** Models of a diffusion pipeline to merge into; unless given all that the adapters have something for. */
  readonly components?: readonly string[] | undefined
  /** The base is the one that the adapter's initialisation left (PiSSA, OLoRA, CorDA, LoRA-GA, LoftQ), not the original: merge into it. */
  readonly baseIsResidual?: boolean | undefined
  /** Elements of one tile; for tests. Never changes a byte of the output. */
  readonly tileElements?: number | undefined
}

export interface MergeOptions extends CommonOptions {
  /** Folder of the base model, or one safetensors file. */
  readonly base: string
  readonly adapters: readonly AdapterOption[]
  /** A folder, or a file ending in `.safetensors`, or in `.pt`, `.pth` or `.bin` for torch. */
  readonly out: string
  /** Unless given each tensor keeps its type. */
  readonly dtype?: PlainFloat | undefined
  /** Bytes of tensor data in one file; unless given the base's own shards are kept. */
  readonly maxShardBytes?: number | undefined
}

/** Options of llama-quantize, with its names and meaning. */
export interface QuantizationOptions extends QuantizeOptions {
  /** File of an importance matrix, GGUF or legacy .dat. */
  readonly imatrix?: string | undefined
  /** Use only (or all but) the matrix's entries whose name holds one of these. */
  readonly includeWeights?: readonly string[]
  readonly excludeWeights?: readonly string[]
  /** Key-values that replace what is derived. */
  readonly overrides?: readonly KeyValue[]
}

export interface GgufOptions extends CommonOptions {
  /** Folder of the model, or a GGUF file (any part of a split one). */
  readonly model: string
  readonly adapters?: readonly AdapterOption[] | undefined
  /** Unless given: for a folder as the model is stored (`auto`), for a GGUF every tensor keeps its type. `copy` (of a GGUF) keeps types too, but orders as llama-quantize does. */
  readonly outtype?: AnyFileType | 'auto' | 'copy' | undefined
  readonly quantize?: QuantizationOptions | undefined
  /** When to begin another file. */
  readonly split?: SplitLimits | undefined
  /** Of a split GGUF: write as many parts, each with the same tensors. */
  readonly keepSplit?: boolean | undefined
  /** A file (with `{ftype}` placeholders), or a folder; unless given the default name in the model's folder. */
  readonly outfile?: string | undefined
  readonly modelName?: string | undefined
  /** JSON file of metadata that overrides what is derived. */
  readonly metadata?: string | undefined
  readonly vocabOnly?: boolean | undefined
  readonly noVocab?: boolean | undefined
  /** Leave out layers that predict further tokens (NextN, MTP). */
  readonly noNextn?: boolean | undefined
  /** Name of the BPE pre-tokenizer, when it is not recognised. */
  readonly pre?: string | undefined
  /** Write a Modelfile beside the GGUF. True unless given. */
  readonly modelfile?: boolean | undefined
}

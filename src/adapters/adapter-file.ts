/**
 * What every adapter format hands over, before a base is known: modules by their names in the adapter, each with its
 * factors and its scale. resolve.ts finds the base tensors.
 */
import type { Folder } from '../core/bytes.js'
import type { LoraFacts } from '../core/adapter.js'
import type { RowProgram } from '../core/row-program.js'
import type { TensorInfo } from '../core/tensor-info.js'
import type { FactorRole } from './key-suffixes.js'
import { nameList, UsageError } from '../core/errors.js'

/** A folder whose host can also name its subfolders, so that messages can point into a training output. */
export interface AdapterFolder extends Folder {
  /** Names of direct subfolders, when the host knows them. */
  readonly folders?: readonly string[]
}

/** How a module of a diffusion pipeline was trained: a row of diffusion-kinds.ts, and a way to bind it (bind-diffusion.ts). */
export type DiffusionKind = 'locon' | 'hadamard' | 'kronecker' | 'lycorisGlora' | 'orthogonal' | 'butterfly' | 'difference' | 'norm' | 'modulation'

/** How a module was trained: a row of module-kinds.ts, and a way to bind it (bind.ts); or one of a pipeline. */
export type ModuleKind =
  | DiffusionKind
  | ('lora' | 'embedding' | 'whole' | 'tokens' | 'adalora' | 'ia3' | 'loha' | 'lokr' | 'vera' | 'pvera' | 'hira' | 'miss' | 'delora' | 'loralib' | 'grouped')
  | ('oft' | 'boft' | 'hra' | 'road' | 'sparse' | 'c3a' | 'randlora' | 'vblora' | 'gralora' | 'tinylora' | 'glora' | 'deft' | 'peanut' | 'beft')
  | ('turned' | 'switch' | 'gguf')

/** One trained module. */
export interface AdapterModule {
  readonly kind: ModuleKind
  /** Path of the module in the model that was trained, without the format's own prefix. */
  readonly name: string
  /** Other paths that the base may have it under. */
  readonly aliases?: readonly string[]
  /** Which model of a pipeline it belongs to: `unet`, `text_encoder_2`. Undefined when its key does not say. */
  readonly component?: string
  /** Its path has `_` for every dot, which only the base's own names can undo. */
  readonly isFlattened?: boolean
  /** Its scale is 1 only because nothing says otherwise. */
  readonly isScaleAssumed?: boolean
  /** Whether LyCORIS' IA³ scales inputs, not outputs. */
  readonly actsOnInputs?: boolean
  /** Its tensors, complete: at least one. */
  readonly factors: ReadonlyMap<FactorRole, TensorInfo>
  /** 0 where there is none. */
  readonly rank: number
  readonly alpha: number
  /** What the update is multiplied with; f64, finite also as f32. 1 where there is none. */
  readonly scale: number
  /** Fields of its config that say how its tensors are meant: the options of peft-types.ts. */
  readonly options?: ReadonlyMap<string, string | number | boolean>
  /** Which rows trained tokens are. */
  readonly ids?: readonly number[]
  /** The name that a `gguf` module has in the file. */
  readonly ggufName?: string
  /** Where a `gguf` module lies, when that is not one tensor of the base as it is: bind-gguf.ts. */
  readonly ggufPlaces?: readonly { readonly name: string; readonly lay: ((program: RowProgram) => RowProgram) | undefined }[]
  /** Which matrix of the experts a `switch` is of: gate_proj, up_proj, down_proj. */
  readonly part?: string
  /** Rows of each slice of a `grouped` matrix, and whether it was trained. */
  readonly slices?: readonly { readonly rows: number; readonly enabled: boolean }[]
  /** Which slices of a matrix in equal slices were trained, if it is one: what loralib calls enable_lora. */
  readonly enabled?: readonly boolean[]
  /** The parameters that the module's factors may be of (target_parameters), if the base has them in it. */
  readonly parameters?: readonly ParameterChoice[]
  /** Whether inputs and outputs of parameters are exchanged (PEFT up to 0.18); undefined when the config does not say. */
  readonly turnsParameters?: boolean
}

/** A parameter of a module, and what its factors would be. */
export interface ParameterChoice {
  /** In the module. */
  readonly name: string
  /** Of one expert. */
  readonly rank: number
  readonly alpha: number
  readonly scale: number
  /** How the columns of B lie when the parameter holds many experts; undefined when the config does not say. */
  readonly packing: ExpertPacking | undefined
}

/** `rank`: a column of every expert for each rank, as PEFT has it. `expert`: all ranks of an expert together, as Unsloth had it until September 2026. */
export type ExpertPacking = 'rank' | 'expert'

/** Plain JSON data, for `inspect --json` and receipts. */
export type Fact = null | boolean | number | string | readonly Fact[] | { readonly [name: string]: Fact }

/** What only the user knows, for formats whose files do not say it. */
export interface FormatOptions {
  /** lora_alpha. */
  readonly alpha?: number | undefined
  /** Which slices of fused matrices were trained: loralib's enable_lora. */
  readonly enableLora?: readonly boolean[] | undefined
  /** Whether square matrices are stored (in x out). */
  readonly fanInFanOut?: boolean | undefined
  /** How a file of weights and factors together was saved. */
  readonly state?: SavedState | undefined
  /** The base given is the one that the adapter's initialisation left (PiSSA, OLoRA, CorDA, LoRA-GA, LoftQ), not the original. */
  readonly baseIsResidual?: boolean | undefined
}

/** What a user may ask of an adapter. */
export interface AdapterOptions extends FormatOptions {
  /** PEFT's own result is wanted where that differs from the trained model. */
  readonly likePeft?: boolean | undefined
}

export type FormatOptionName = keyof FormatOptions

/** Whether weights that were saved beside their LoRA factors hold the update already: after eval() they do, after train() they do not. */
export type SavedState = 'train' | 'eval'

/** A model's weights and LoRA factors in one file. */
export interface FullState {
  /** Every weight, as a whole. */
  readonly weights: readonly AdapterModule[]
  /** Empty where the scale is not known. */
  readonly factors: readonly AdapterModule[]
}

/** A small tensor that was read while planning, because its values decide something. */
export interface ReadTensor {
  readonly tensor: string
  readonly sha256: string
}

/** An adapter whose own rules hold: factors complete, ranks as configured, no tensor left over. */
export interface AdapterFile {
  /** As the user named it. */
  readonly label: string
  /** For people: `PEFT LoRA`. */
  readonly kind: string
  /** At least one; in the order of the weights file. */
  readonly modules: readonly AdapterModule[]
  /** Whether the adapter says that the base stores its matrices transposed (in x out). */
  readonly fanInFanOut: boolean
  /** How the base stores square matrices, where the user says it or nobody does. Unless set, `fanInFanOut` and other tensors of the base tell. */
  readonly squares?: 'plain' | 'transposed' | 'ambiguous'
  /** Options of the user that it makes use of. */
  readonly takes?: readonly FormatOptionName[]
  /** PEFT's LoRA: what its add_weighted_adapter looks at. */
  readonly lora?: LoraFacts
  /** Whether output and embedding were trained as one, and the adapter holds both. */
  readonly ensuresTie?: boolean
  /** Whether its config says that biases of the base were trained. */
  readonly trainsBiases?: boolean
  /** Its modules are those of a diffusion pipeline: resolve-parts.ts finds them. */
  readonly isOfPipeline?: boolean
  /** Small tensors that were read. */
  readonly read?: readonly ReadTensor[]
  /** `general.architecture` of an adapter whose modules have GGUF names. */
  readonly ggufArchitecture?: string
  /** Names of the files that decide its identity: weights, then config. */
  readonly files: readonly string[]
  /** What a reader of the adapter wants to know; a fresh object, the caller's. */
  readonly facts: { readonly [name: string]: Fact }
  /** Set while it is not decided what of a file of weights and factors is to be merged: full-state.ts. Such a file cannot be bound. */
  readonly fullState?: FullState
  /** Trained with Unsloth: its experts may be packed in its own way. */
  readonly fromUnsloth?: boolean
  /** Things a user should know, one sentence each. */
  readonly notes: readonly string[]
}

/** The one file of a folder whose name is of a kind. @throws UsageError when there are several, or none */
export function onlyFile(folder: AdapterFolder, kind: RegExp): string {
  const names = folder.entries.map(({ name }) => name).filter((name) => kind.test(name))
  const [name] = names
  if (name === undefined || names.length > 1) throw new UsageError(`holds ${nameList(names)}: name the file that is meant.`, { file: folder.label })
  return name
}

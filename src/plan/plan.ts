/**
 * The plan: everything that a run will do, decided from headers, configs and small files before the first weight is
 * read. Plain data. The engine executes it and decides nothing; --dry-run prints it; the receipt repeats it.
 */
import type { EncodedType } from '../core/arithmetic.js'
import { rootOf, type ByteDescriptor } from '../core/bytes.js'
import type { KeyValue } from '../core/key-value.js'
import { tensorsOf, type RowProgram } from '../core/row-program.js'
import type { TensorInfo } from '../core/tensor-info.js'

/** How the bytes of one output tensor come about. */
export type TensorProgram =
  /** The source's bytes, unchanged: untouched means identical. */
  | { readonly kind: 'bytes'; readonly tensor: TensorInfo }
  /** f32 rows of the program, rounded once into the type. */
  | {
      readonly kind: 'rows'
      readonly rows: RowProgram
      readonly encode: EncodedType
      readonly importance?: Float32Array
      /** The rows are stored as blocks of this type already, and moved as they are. */
      readonly moves?: true
    }

/** An adapter's part in one output tensor, for people and receipts. */
export interface AppliedDelta {
  /** Position in `Plan.adapters`. */
  readonly adapter: number
  readonly module: string
  readonly variant: string
  readonly rank: number
  /** Effective: with the adapter's weight, as f32. */
  readonly scale: number
}

export interface PlannedTensor {
  readonly name: string
  /** Type as the output spells it: `BF16` in safetensors, `q8_0` in GGUF. */
  readonly type: string
  /** Outermost dimension first. */
  readonly shape: readonly number[]
  /** Position in `Plan.files`. */
  readonly file: number
  /** First byte in that file. */
  readonly offset: number
  readonly byteLength: number
  readonly program: TensorProgram
  /** Rows (of a row program) or bytes (of a byte program) that are computed at once; part of the plan, so that nothing depends on threads. */
  readonly tile: number
  /** Base tensors it is made of; empty for computed ones. */
  readonly from: readonly string[]
  readonly applied: readonly AppliedDelta[]
}

/** A file of weights. Bytes that neither the header, a piece nor a tensor covers are zero. */
export interface PlannedFile {
  /** Relative to `Plan.root`. */
  readonly name: string
  readonly header: Uint8Array
  readonly byteLength: number
  /** Bytes elsewhere: what an archive has between its records and after them. */
  readonly pieces?: readonly FilePiece[]
  /** What is known only when the data is complete. */
  readonly checksums?: readonly PlannedChecksum[]
}

export interface FilePiece {
  readonly offset: number
  readonly bytes: Uint8Array
}

/** The CRC-32 of a tensor's data, to be written at these places of its file: four bytes, little-endian. */
export interface PlannedChecksum {
  /** Position in `Plan.tensors`. */
  readonly tensor: number
  readonly places: readonly number[]
}

/** A file beside the weights. `before` the data: what the data needs. `after` it: what points at complete data. `last`: what points at all of it, receipt too. */
export interface SideFile {
  readonly name: string
  readonly stage: 'before' | 'after' | 'last'
  readonly content: { readonly kind: 'copy'; readonly source: ByteDescriptor } | { readonly kind: 'text'; readonly text: string }
  /** It may replace a file of this name that is there already (our own Modelfile); otherwise --force decides. */
  readonly replaces?: boolean
}

export interface PlannedAdapter {
  readonly label: string
  readonly kind: string
  readonly weight: number
  readonly tensorCount: number
  /** sha256 over the adapter's files; empty when only one adapter is given. */
  readonly digest: string
  /** Small tensors that were read while planning: alphas. */
  readonly read?: readonly { readonly tensor: string; readonly sha256: string }[]
}

export interface Plan {
  readonly kind: 'folder' | 'safetensors' | 'torch' | 'gguf'
  /** Folder that all names below are relative to, as the user named it. */
  readonly root: string
  /** What the user asked for: `root` itself for a folder, else the name of the one data file. */
  readonly target: string
  readonly base: string
  readonly adapters: readonly PlannedAdapter[]
  readonly files: readonly PlannedFile[]
  readonly tensors: readonly PlannedTensor[]
  readonly sideFiles: readonly SideFile[]
  /** Name of the receipt in `root`, or undefined for none. */
  readonly receipt: string | undefined
  /** GGUF metadata as written; empty for other outputs. */
  readonly keyValues: readonly KeyValue[]
  /** f32 values that become infinite in a narrow type are clamped to its largest finite value instead of ending the run. */
  readonly clampOverflow: boolean
  /** What was decided and why, one sentence each. */
  readonly decisions: readonly string[]
  /** What the user should worry about, one sentence each. */
  readonly warnings: readonly string[]
  /** Files that the plan was made from besides weights: configs, tokenizers, model cards, metadata. */
  readonly consulted?: readonly ByteDescriptor[]
  /** What the user asked for, for the receipt: option names and values, no paths. */
  readonly options: Readonly<Record<string, string | number | boolean>>
}

/** Files that go into the output, each once: weights in order of use, copied files, then what the plan was made from. */
export function inputsOf(plan: Plan): ByteDescriptor[] {
  const found = new Map<string, ByteDescriptor>()
  const add = (source: ByteDescriptor): void => {
    const root = rootOf(source)
    found.set(root.kind === 'file' ? root.path : root.name, root)
  }
  for (const { program } of plan.tensors) {
    if (program.kind === 'bytes') add(program.tensor.source)
    else for (const tensor of tensorsOf(program.rows)) add(tensor.source)
  }
  for (const { content } of plan.sideFiles) if (content.kind === 'copy') add(content.source)
  for (const source of plan.consulted ?? []) add(source)
  return [...found.values()]
}

/** Bytes of all files that the plan writes, without receipt. */
export function outputBytes(plan: Plan): number {
  const side = plan.sideFiles.reduce(
    (sum, { content }) => sum + (content.kind === 'copy' ? content.source.byteLength : new TextEncoder().encode(content.text).length),
    0,
  )
  return plan.files.reduce((sum, file) => sum + file.byteLength, side)
}

/**
 * The stored tensors of a quantized model on their way to be read: each is taken once, by name and with the dtype and
 * shape that its layout wants, so that in the end it is known which are left over.
 */
import { FormatError, UnsupportedError, quoted } from '../core/errors.js'
import { kindOf, type JsonObject } from '../core/json.js'
import type { RowProgram } from '../core/row-program.js'
import { sameShape, shapeText } from '../core/shape.js'
import type { StoredType } from '../core/stored-types.js'
import { placeOfTensor, type TensorInfo } from '../core/tensor-info.js'

/** A tensor as the model has it, whatever it is stored as. */
export interface LogicalTensor {
  readonly name: string
  readonly shape: readonly number[]
  /** Its values as f32. */
  readonly program: RowProgram
  /** What it is stored in; the first one says in which file it stands, and where among the others. */
  readonly parts: readonly TensorInfo[]
}

/** Reads all bytes of small tensors. */
export type ReadSmall = (tensors: readonly TensorInfo[]) => Promise<ReadonlyMap<TensorInfo, Uint8Array>>

export class Checkpoint {
  /** What the checkpoint says about its quantization; empty where only its tensors do. */
  readonly settings: JsonObject
  /** What messages call the file of `settings`. */
  readonly file: string
  /** All of config.json. */
  readonly config: JsonObject
  readonly readSmall: ReadSmall
  private readonly tensors: ReadonlyMap<string, TensorInfo>
  private readonly used = new Set<string>()

  constructor(tensors: ReadonlyMap<string, TensorInfo>, readSmall: ReadSmall, settings: JsonObject, file: string, config: JsonObject) {
    this.tensors = tensors
    this.readSmall = readSmall
    this.settings = settings
    this.file = file
    this.config = config
  }

  /** Tensors whose names end so, with what stands before that end, in the order of the files; they count as used. */
  endingIn(ending: string): { stem: string; tensor: TensorInfo }[] {
    const found = [...this.tensors.values()].filter(({ name }) => name.endsWith(ending))
    for (const { name } of found) this.used.add(name)
    return found.map((tensor) => ({ stem: tensor.name.slice(0, -ending.length), tensor }))
  }

  has(name: string): boolean {
    return this.tensors.has(name)
  }

  /** The tensor, if there is one; it counts as used. */
  find(name: string): TensorInfo | undefined {
    const tensor = this.tensors.get(name)
    if (tensor !== undefined) this.used.add(name)
    return tensor
  }

  /** @throws FormatError when it is missing, naming the tensor that needs it */
  take(name: string, { source, name: owner }: TensorInfo): TensorInfo {
    const tensor = this.find(name)
    if (tensor !== undefined) return tensor
    throw new FormatError(`needs ${quoted(name)}, which is missing: is the download complete?`, { file: source.name, tensor: owner })
  }

  /** Tensors that nothing took. */
  rest(): TensorInfo[] {
    return [...this.tensors.values()].filter(({ name }) => !this.used.has(name))
  }

  usedNames(): ReadonlySet<string> {
    return this.used
  }

  /** A positive integer of the settings. @throws FormatError */
  uint(key: string): number {
    const value = this.settings.get(key)
    if (typeof value !== 'number' || !Number.isSafeInteger(value) || value <= 0)
      throw new FormatError(`${key} of the quantization is ${kindOf(value)}; a positive integer is wanted.`, { file: this.file })
    return value
  }

  /** The error for what is known, but not read. */
  unsupported(what: string): UnsupportedError {
    return new UnsupportedError(`${what}, which is not supported. Use the 16-bit model that it was made from.`, { file: this.file })
  }
}

/** @throws FormatError unless the tensor has one of these dtypes */
export function requireDtype(tensor: TensorInfo, ...wanted: readonly StoredType[]): void {
  if (wanted.includes(tensor.dtype)) return
  throw new FormatError(`is ${tensor.dtype}; ${wanted.join(' or ')} is wanted in a quantized model of this kind.`, placeOfTensor(tensor))
}

/** @throws FormatError unless the tensor has the shape that its layout gives it */
export function requireShape(tensor: TensorInfo, wanted: readonly number[], why: string): void {
  if (sameShape(tensor.shape, wanted)) return
  throw new FormatError(`has shape ${shapeText(tensor.shape)}; ${shapeText(wanted)} is wanted: ${why}.`, placeOfTensor(tensor))
}

/** The two dimensions of a matrix. @throws FormatError */
export function matrixShape(tensor: TensorInfo): [number, number] {
  const [rows, cols] = tensor.shape
  if (tensor.shape.length !== 2 || rows === undefined || cols === undefined)
    throw new FormatError(`has shape ${shapeText(tensor.shape)}; a matrix is wanted.`, placeOfTensor(tensor))
  return [rows, cols]
}

/** Scales and zero points of activations and of the key-value cache: not the weights' business. */
export const OF_ACTIVATIONS =
  /(?:^|[._])(?:input|output|activation|[kvq]|[kv]_cache|kv_cache)_(?:scale|scale_inv|global_scale|zero_point)$|\.qscale_act$|\.input_scale_ub$/

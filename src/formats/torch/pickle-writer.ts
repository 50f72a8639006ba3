/**
 * Writes the pickle of a state dict: names and types, shapes and storages of tensors in; the bytes of `data.pkl` out.
 * Every tensor has a storage of its own, packed, named by its position: `0`, `1`, ….
 *
 * Law: torch 2.15 serialization.py `_save`, torch/_tensor.py `__reduce_ex__`: protocol 2, `_rebuild_tensor_v2` for types that have a
 * storage class, `_rebuild_tensor_v3` for the others. Accepted by torch.load(weights_only=True) since 1.13, and by LitGPT.
 */
import { DTYPES, type Dtype } from '../../core/dtypes.js'
import { UnsupportedError } from '../../core/errors.js'
import { elementCount } from '../../core/shape.js'
import { DTYPES_OF_TORCH, STORAGES } from './pickle-globals.js'

/** A tensor to be written. */
export interface PickledTensor {
  readonly name: string
  readonly dtype: Dtype
  /** Outermost dimension first. */
  readonly shape: readonly number[]
}

const STORAGE_OF: ReadonlyMap<Dtype, string> = new Map(Object.entries(STORAGES).map(([name, dtype]) => [dtype, name]))
const NAME_OF: ReadonlyMap<Dtype, string> = new Map([...Object.entries(DTYPES_OF_TORCH)].reverse().map(([name, dtype]) => [dtype, name]))

/** Opcodes of pickle protocol 2. */
const OP = { proto: 0x80, emptyDict: 0x7d, mark: 0x28, setItems: 0x75, stop: 0x2e, tuple: 0x74, persistentId: 0x51, reduce: 0x52, false: 0x89 } as const
const MOST_INT = 0x7fffffff
const UTF8 = new TextEncoder()

/** @throws UnsupportedError for types that torch has not */
export function pickleStateDict(tensors: readonly PickledTensor[]): Uint8Array {
  const pickle = new PickleWriter()
  pickle.op(OP.proto, 2, OP.emptyDict, OP.mark)
  tensors.forEach((tensor, i) => {
    pickle.text(tensor.name)
    pickleTensor(pickle, tensor, String(i))
  })
  pickle.op(OP.setItems, OP.stop)
  return pickle.bytes()
}

/** `_rebuild_tensor_v2(storage, offset, size, strides, requires_grad, hooks)`; `_v3` has the type after them. */
function pickleTensor(pickle: PickleWriter, { name, dtype, shape }: PickledTensor, key: string): void {
  if (!name.isWellFormed())
    throw new UnsupportedError('its name holds half of a surrogate pair, which UTF-8 cannot write; rename the tensor.', { tensor: name })
  const storage = STORAGE_OF.get(dtype)
  const typeName = NAME_OF.get(dtype)
  if (storage === undefined && typeName === undefined)
    throw new UnsupportedError(`is ${dtype}, which torch has not; write a folder or a .safetensors file.`, { tensor: name })
  const count = elementCount(shape)
  pickle.global('torch._utils', storage === undefined ? '_rebuild_tensor_v3' : '_rebuild_tensor_v2')
  pickle.op(OP.mark, OP.mark)
  pickle.constant('storage')
  if (storage === undefined) pickle.global('torch.storage', 'UntypedStorage')
  else pickle.global('torch', storage)
  pickle.text(key)
  pickle.constant('cpu')
  pickle.integer(storage === undefined ? (count * DTYPES[dtype].bits) / 8 : count)
  pickle.op(OP.tuple, OP.persistentId)
  pickle.integer(0)
  pickle.integers(shape)
  pickle.integers(rowMajor(shape))
  pickle.op(OP.false)
  pickle.global('collections', 'OrderedDict')
  pickle.integers([])
  pickle.op(OP.reduce)
  if (storage === undefined) pickle.global('torch', typeName ?? '')
  pickle.op(OP.tuple, OP.reduce)
}

/** torch's strides of a packed tensor; a dimension without elements counts as one. */
function rowMajor(shape: readonly number[]): number[] {
  const strides = shape.map(() => 1)
  for (let i = shape.length - 2; i >= 0; i--) strides[i] = (strides[i + 1] ?? 1) * Math.max(1, shape[i + 1] ?? 1)
  return strides
}

class PickleWriter {
  private buffer = new Uint8Array(4096)
  private length = 0
  /** Globals and texts that come again, by their number in the memo. */
  private readonly memo = new Map<string, number>()

  op(...bytes: readonly number[]): void {
    this.room(bytes.length).set(bytes)
  }

  global(module: string, name: string): void {
    this.remembered(`${module} ${name}`, () => this.raw(UTF8.encode(`c${module}\n${name}\n`)))
  }

  /** A text that every tensor has. */
  constant(text: string): void {
    this.remembered(text, () => this.text(text))
  }

  text(text: string): void {
    const utf8 = UTF8.encode(text)
    this.op(0x58)
    this.unsigned(utf8.byteLength, 4)
    this.raw(utf8)
  }

  integer(value: number): void {
    if (value < 0x100) return this.op(0x4b, value)
    if (value < 0x10000) this.op(0x4d)
    else if (value <= MOST_INT) this.op(0x4a)
    else this.op(0x8a, 8)
    this.unsigned(value, value < 0x10000 ? 2 : value <= MOST_INT ? 4 : 8)
  }

  /** As a tuple. */
  integers(values: readonly number[]): void {
    const short = [0x29, 0x85, 0x86, 0x87][values.length]
    if (short === undefined) this.op(OP.mark)
    for (const value of values) this.integer(value)
    this.op(short ?? OP.tuple)
  }

  bytes(): Uint8Array {
    return this.buffer.slice(0, this.length)
  }

  private remembered(key: string, write: () => void): void {
    const known = this.memo.get(key)
    if (known !== undefined) return this.op(0x68, known)
    write()
    this.op(0x71, this.memo.size) // one byte holds the number: there are a few dozen types
    this.memo.set(key, this.memo.size)
  }

  /** Little-endian. */
  private unsigned(value: number, byteLength: number): void {
    const bytes = this.room(byteLength)
    for (let i = 0, rest = value; i < byteLength; i++, rest = Math.floor(rest / 256)) bytes[i] = rest % 256
  }

  private raw(bytes: Uint8Array): void {
    this.room(bytes.byteLength).set(bytes)
  }

  private room(byteLength: number): Uint8Array {
    if (this.length + byteLength > this.buffer.byteLength) {
      const larger = new Uint8Array(Math.max(this.buffer.byteLength * 2, this.length + byteLength))
      larger.set(this.buffer)
      this.buffer = larger
    }
    this.length += byteLength
    return this.buffer.subarray(this.length - byteLength, this.length)
  }
}

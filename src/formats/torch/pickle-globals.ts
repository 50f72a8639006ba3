/**
 * THE list of what a pickle may name. Nothing is ever imported or called: a name is looked up here, and what the row says is
 * done by code of ours with inert data. What is not here ends the reading, wherever in the file it stands.
 *
 * Law: torch 2.15 `_weights_only_unpickler.py`, of whose 144 globals these are the ones that tensors need; numpy's
 * scalars and arrays (loss and random state of trainer checkpoints) are taken in as inert.
 */
import type { Dtype } from '../../core/dtypes.js'

export type AllowedGlobal =
  /** A call gives a container of Python. */
  | { readonly is: 'container'; readonly of: 'dict' | 'set' | 'size' }
  /** A call gives bytes: `_codecs.encode(text, 'latin1')`. */
  | { readonly is: 'encode' }
  /** A call gives a tensor. */
  | { readonly is: 'tensor'; readonly version: 1 | 2 | 3 }
  /** A call gives the tensor that is its first argument. */
  | { readonly is: 'parameter' }
  /** A call gives what another row of this list gives: a tensor of a subclass, without the subclass. */
  | { readonly is: 'subclass' }
  | { readonly is: 'storage'; readonly dtype: Dtype | undefined }
  | { readonly is: 'dtype'; readonly dtype: Dtype }
  /** Named, and called, without meaning anything here. */
  | { readonly is: 'inert' }
  /** Known, harmless, and not readable: refused when it is used. */
  | { readonly is: 'unsupported'; readonly why: string }

const inert: AllowedGlobal = { is: 'inert' }
const notDense = (what: string): AllowedGlobal => ({ is: 'unsupported', why: `${what}; only dense tensors are read. Save it as a dense tensor.` })

/** Classes of storages, by the type of their elements. */
export const STORAGES = {
  FloatStorage: 'F32',
  HalfStorage: 'F16',
  BFloat16Storage: 'BF16',
  DoubleStorage: 'F64',
  LongStorage: 'I64',
  IntStorage: 'I32',
  ShortStorage: 'I16',
  CharStorage: 'I8',
  ByteStorage: 'U8',
  BoolStorage: 'BOOL',
  ComplexFloatStorage: 'C64',
} as const satisfies Record<string, Dtype>

/** Names of types, the usual one first. */
export const DTYPES_OF_TORCH = {
  float32: 'F32',
  float: 'F32',
  float16: 'F16',
  half: 'F16',
  bfloat16: 'BF16',
  float64: 'F64',
  double: 'F64',
  int64: 'I64',
  long: 'I64',
  int32: 'I32',
  int: 'I32',
  int16: 'I16',
  short: 'I16',
  int8: 'I8',
  uint8: 'U8',
  uint16: 'U16',
  uint32: 'U32',
  uint64: 'U64',
  bool: 'BOOL',
  complex64: 'C64',
  float8_e4m3fn: 'F8_E4M3',
  float8_e5m2: 'F8_E5M2',
  float8_e8m0fnu: 'F8_E8M0',
  float8_e4m3fnuz: 'F8_E4M3FNUZ',
  float8_e5m2fnuz: 'F8_E5M2FNUZ',
} as const satisfies Record<string, Dtype>

/** By `module name`. Looked up with `get` alone, so that no name finds what JavaScript's objects inherit. */
export const GLOBALS: ReadonlyMap<string, AllowedGlobal> = new Map<string, AllowedGlobal>(
  (
    [
      ['collections OrderedDict', { is: 'container', of: 'dict' }],
      ['collections Counter', inert],
      ['builtins set', { is: 'container', of: 'set' }],
      ['builtins frozenset', { is: 'container', of: 'set' }],
      ['__builtin__ set', { is: 'container', of: 'set' }],
      ['__builtin__ frozenset', { is: 'container', of: 'set' }],
      ['builtins bytearray', inert],
      ['__builtin__ bytearray', inert],
      ['builtins complex', inert],
      ['__builtin__ complex', inert],
      ['_codecs encode', { is: 'encode' }],
      ['torch._utils _rebuild_tensor', { is: 'tensor', version: 1 }],
      ['torch._utils _rebuild_tensor_v2', { is: 'tensor', version: 2 }],
      ['torch._utils _rebuild_tensor_v3', { is: 'tensor', version: 3 }],
      ['torch._utils _rebuild_parameter', { is: 'parameter' }],
      ['torch._utils _rebuild_parameter_with_state', { is: 'parameter' }],
      ['torch.nn.parameter Parameter', { is: 'parameter' }],
      ['torch._tensor _rebuild_from_type_v2', { is: 'subclass' }],
      ['torch Tensor', inert],
      ['torch Size', { is: 'container', of: 'size' }],
      ['torch device', inert],
      ...Object.entries(STORAGES).map(([name, dtype]) => [`torch ${name}`, { is: 'storage', dtype }] as const),
      ['torch.storage UntypedStorage', { is: 'storage', dtype: undefined }],
      ['torch UntypedStorage', { is: 'storage', dtype: undefined }],
      ...Object.entries(DTYPES_OF_TORCH).map(([name, dtype]) => [`torch ${name}`, { is: 'dtype', dtype }] as const),
      ['numpy dtype', inert],
      ['numpy ndarray', inert],
      ['numpy.core.multiarray scalar', inert],
      ['numpy._core.multiarray scalar', inert],
      ['numpy.core.multiarray _reconstruct', inert],
      ['numpy._core.multiarray _reconstruct', inert],
      ['torch complex128', inert],
      ['torch float4_e2m1fn_x2', inert],
      ['torch ComplexDoubleStorage', { is: 'unsupported', why: 'holds a complex128 tensor, which no format here has; drop it, or save it as complex64' }],
      ['torch._utils _rebuild_qtensor', notDense('holds a quantized tensor')],
      ...['QInt8Storage', 'QUInt8Storage', 'QInt32Storage', 'QUInt4x2Storage', 'QUInt2x4Storage'].map(
        (name) => [`torch ${name}`, notDense('holds a quantized tensor')] as const,
      ),
      ['torch._utils _rebuild_sparse_tensor', notDense('holds a sparse tensor')],
      ['torch._utils _rebuild_nested_tensor', notDense('holds a nested tensor')],
      ['torch._utils _rebuild_meta_tensor_no_storage', notDense('holds a meta tensor, which has no data')],
      ['torch._utils _rebuild_wrapper_subclass', notDense('holds a tensor of a subclass without data of its own')],
      ['torch._utils _rebuild_device_tensor_from_numpy', notDense('holds a tensor of a device that was saved through numpy')],
      ['torch._utils _rebuild_device_tensor_from_cpu_tensor', notDense('holds a tensor of a device that was saved through the CPU')],
      ['torch.serialization _get_layout', notDense('holds a sparse tensor')],
    ] satisfies readonly (readonly [string, AllowedGlobal])[]
  ).map(([name, global]) => [name, Object.freeze(global)] as const),
)

/** Names that people meet without malice: what their file is, and what to do. The first row whose pattern matches `module.name` has it. */
export const HONEST_MISTAKES: readonly { readonly name: RegExp; readonly says: string }[] = [
  { name: /^torch\.(?:nn\.modules\.|fx\.|nn\.utils\.)/, says: 'a whole torch.nn module was saved; re-save with torch.save(model.state_dict(), …).' },
  { name: /^__torch__(?:\.|$)/, says: 'a TorchScript module; save its state_dict() with torch.save instead.' },
  {
    name: /^(?:argparse\.Namespace|omegaconf\.|transformers\.training_args\.|transformers\.trainer_utils\.)/,
    says: 'settings of a training were saved beside the tensors; re-save with torch.save(checkpoint["model"], …), or the like.',
  },
  { name: /^(?:peft|transformers|diffusers|__main__)\./, says: 'objects of a Python class were saved; re-save with torch.save(model.state_dict(), …).' },
]

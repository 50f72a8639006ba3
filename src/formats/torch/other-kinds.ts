/** What a file really is that was named as a PyTorch checkpoint and is none: rule PT11 (docs/formats.md). */
import type { ByteSource } from '../../core/bytes.js'
import { FormatError, UnsupportedError, type ToolkitError } from '../../core/errors.js'
import { lfsPointer } from '../../core/json.js'

const MOST_HEADER_BYTES = 100_000_000n // of safetensors

interface Kind {
  /** @param head  the first 512 bytes as latin-1, or all of a shorter file */
  readonly is: (head: string) => boolean
  readonly says: string
}

const BROKEN: readonly Kind[] = [
  { is: (head) => head === '', says: 'is empty: a failed download, or a full disk.' },
  { is: (head) => head.startsWith('GGUF'), says: 'is a GGUF file, no PyTorch checkpoint: give it its own name (.gguf).' },
  { is: isSafetensors, says: 'is a safetensors file, no PyTorch checkpoint: give it its own name (.safetensors).' },
  { is: (head) => /^\s*<(?:!doctype|html|\?xml|head|body)/i.test(head), says: 'is an HTML page, no PyTorch checkpoint: a failed download?' },
  { is: (head) => /^\s*[{[]/.test(head), says: 'is JSON text, no PyTorch checkpoint: a failed download, or an index that was renamed?' },
  { is: (head) => /^\0+$/.test(head), says: 'begins with zeros: it was never written, or the download is incomplete.' },
]

const UNSUPPORTED: readonly Kind[] = [
  {
    is: (head) => head.slice(257, 262) === 'ustar',
    says: 'is a tar archive, as PyTorch before 0.2 wrote them: load it with an old PyTorch and save it again.',
  },
  { is: (head) => head.startsWith('\x89HDF'), says: 'is an HDF5 file (Keras, TensorFlow): convert it to safetensors first.' },
]

/** The error for a file that is neither a zip archive nor a pickle. @param bytes  its first 512 bytes, or all of a shorter one */
export function otherKind(bytes: Uint8Array, { name }: ByteSource): ToolkitError | undefined {
  const head = String.fromCharCode(...bytes)
  if (head.startsWith('PK') || /^\x80[\x02-\x05]/.test(head)) return undefined
  if (head.startsWith('version https://git-lfs')) return lfsPointer(head, name)
  const broken = BROKEN.find(({ is }) => is(head))
  if (broken !== undefined) return new FormatError(broken.says, { file: name })
  const unsupported = UNSUPPORTED.find(({ is }) => is(head))
  if (unsupported !== undefined) return new UnsupportedError(unsupported.says, { file: name })
  const old = /^(?:\x80|[(\]}c])/.test(head) ? ' (a pickle of another protocol than 2 to 5 would begin so)' : ''
  return new FormatError(`is neither a zip archive nor a pickle, no PyTorch checkpoint${old}: damaged, or of another kind?`, { file: name })
}

function isSafetensors(head: string): boolean {
  if (head.length < 9 || head[8] !== '{') return false
  let length = 0n
  for (let i = 7; i >= 0; i--) length = length * 256n + BigInt(head.charCodeAt(i))
  return length <= MOST_HEADER_BYTES
}

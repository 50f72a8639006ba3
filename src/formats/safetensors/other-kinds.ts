/** What a file really is that was named .safetensors and is not: rule ST00 (docs/formats.md). safetensors has no magic of its own. */
import type { ByteSource } from '../../core/bytes.js'
import { FormatError } from '../../core/errors.js'
import { lfsPointer } from '../../core/json.js'

const SNIFFED_BYTES = 200 // a Git LFS pointer is 130 bytes long

interface Kind {
  /** @param head  the first bytes of the file as latin-1; all of it when it is shorter than SNIFFED_BYTES */
  readonly is: (head: string) => boolean
  readonly says: string
}

const KINDS: readonly Kind[] = [
  { is: (head) => head.startsWith('GGUF'), says: 'this is a GGUF file, not safetensors: give it its own name (.gguf).' },
  { is: isZip, says: 'this is a zip archive, as PyTorch checkpoints are, not safetensors: give it its own name (.pt, .bin or .zip).' },
  { is: isPickle, says: 'this is a pickle (an old PyTorch checkpoint), not safetensors: nothing of it was run.' },
  { is: (head) => /^\s*<(?:!doctype|html|\?xml|head|body)/i.test(head), says: 'this is an HTML page, not safetensors: a failed download?' },
  { is: (head) => /^\s*[{[]/.test(head), says: 'this is JSON text, not safetensors: a failed download, or an index that was renamed?' },
  {
    is: (head) => head.length < SNIFFED_BYTES && /^[ -~]+$/.test(head),
    says: 'this is a line of text, not safetensors: a link that was copied as its target?',
  },
]

/** The error for a file that cannot be safetensors and is of a known other kind, else undefined. */
export async function otherKind(source: ByteSource): Promise<FormatError | undefined> {
  const bytes = new Uint8Array(Math.min(SNIFFED_BYTES, source.byteLength))
  await source.read(bytes, 0)
  const head = String.fromCharCode(...bytes)
  if (head.startsWith('version https://git-lfs')) return lfsPointer(head, source.name)
  const kind = KINDS.find(({ is }) => is(head))
  return kind && new FormatError(kind.says, { file: source.name })
}

/** A zip archive with a file in it. @param head  first bytes as latin-1 */
export function isZip(head: string): boolean {
  return head.startsWith('PK\x03\x04')
}

/** A pickle of protocol 2 to 5. @param head  first bytes as latin-1 */
export function isPickle(head: string): boolean {
  const protocol = head.charCodeAt(1)
  return head.charCodeAt(0) === 0x80 && protocol >= 2 && protocol <= 5
}

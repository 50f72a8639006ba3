/** Which files of this machine a model lies in, whatever links lead there. */
import { realpathSync } from 'node:fs'
import type { ByteDescriptor } from '../core/bytes.js'
import type { Model } from '../core/model.js'

/** Whether a file is one of those that a base's weights lie in. */
export function isFileOf({ tensors }: Model, path: string): boolean {
  const own = realPath(path)
  const files = new Set([...tensors.values()].map(({ source }) => fileOf(source)))
  return own !== undefined && [...files].some((file) => file !== undefined && realPath(file) === own)
}

/** The file that bytes are read from. */
function fileOf(source: ByteDescriptor): string | undefined {
  if (source.kind === 'strided') return fileOf(source.storage)
  if (source.kind === 'member') return fileOf(source.container)
  return source.kind === 'file' ? source.path : undefined
}

function realPath(path: string): string | undefined {
  try {
    return realpathSync(path)
  } catch {
    return undefined
  }
}

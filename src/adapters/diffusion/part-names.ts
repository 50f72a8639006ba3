/**
 * Finds the tensors of a module in one model of a pipeline, by the names that adapters know it under: its own path, the path in
 * the other naming (unet-names.ts, clip-names.ts, transformer-names.ts), or either with `_` for every dot. One name for two modules is an error, never
 * a choice.
 */
import { MismatchError, nameList, quoted, type Place } from '../../core/errors.js'
import { fusedClipParts, otherClipNames, TRANSPOSED_PROJECTION } from './clip-names.js'
import type { ModulePlace } from './module-places.js'
import { nearestNames } from '../nearest-names.js'
import type { BasePart } from './parts.js'
import { otherTransformerPlaces } from './transformer-names.js'
import { otherUnetNames } from './unet-names.js'

/** The modules of one part. */
export class PartNames {
  private readonly byPath = new Map<string, ModulePlace[]>()
  private readonly byFlatPath = new Map<string, ModulePlace[]>()

  constructor({ tensors }: BasePart) {
    const modules = new Set([...tensors.keys()].flatMap((name) => /^(.+)\.(?:weight|bias)$/s.exec(name)?.[1] ?? []))
    const [unet, clip] = [otherUnetNames(modules), otherClipNames(modules)]
    for (const path of modules) {
      const place = { path, pieces: [{ weight: tensors.get(`${path}.weight`), bias: tensors.get(`${path}.bias`) }] }
      for (const name of new Set([path, unet.get(path) ?? path, clip.get(path) ?? path])) this.add(name, place)
    }
    for (const { module, weight, bias, rows } of fusedClipParts(tensors))
      this.add(module, { path: module, pieces: [{ weight: tensors.get(weight), bias: tensors.get(bias), rows }] })
    const projection = tensors.get(TRANSPOSED_PROJECTION)
    if (projection?.shape.length === 2)
      this.add(TRANSPOSED_PROJECTION, { path: TRANSPOSED_PROJECTION, pieces: [{ weight: projection, bias: undefined, isTransposed: true }] })
    for (const { module, pieces } of otherTransformerPlaces(tensors)) if (!modules.has(module)) this.add(module, { path: module, pieces })
  }

  /**
   * Where a module lies, or undefined when the part has none of this name.
   * @param isFlattened  the name has `_` for dots
   * @throws MismatchError when several have it
   */
  find(name: string, isFlattened: boolean, place: Place): ModulePlace | undefined {
    const found = (isFlattened ? undefined : this.byPath.get(name)) ?? this.byFlatPath.get(flat(name)) ?? []
    if (found.length > 1)
      throw new MismatchError(
        `its module ${quoted(name)} could be any of ${nameList(found.map(({ path }) => path))} in the base: both are spelled so when dots become "_".`,
        place,
      )
    return found[0]
  }

  /** Names, spelled as the adapter spells its own, that look like a module's. */
  nearest(name: string, isFlattened: boolean): string[] {
    if (!isFlattened) return nearestNames(name, this.byPath.keys())
    // names are compared component by component, and which "_" was a dot is not known
    const dotted = new Set([...this.byPath.keys()].map((path) => path.replaceAll('_', '.')))
    return nearestNames(name.replaceAll('_', '.'), dotted).map(flat)
  }

  private add(name: string, place: ModulePlace): void {
    append(this.byPath, name, place)
    append(this.byFlatPath, flat(name), place)
  }
}

function append(map: Map<string, ModulePlace[]>, name: string, place: ModulePlace): void {
  const list = map.get(name)
  if (list === undefined) map.set(name, [place])
  else if (!list.includes(place)) list.push(place)
}

function flat(path: string): string {
  return path.replaceAll('.', '_')
}

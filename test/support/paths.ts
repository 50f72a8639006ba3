/** Where things are, whatever folder the compiled tests stand in. */
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The project's root folder: the nearest one above that holds package.json. */
export const PROJECT = findRoot(dirname(fileURLToPath(import.meta.url)))

export const FIXTURES = join(PROJECT, 'fixtures')

/** The golden data, or undefined where there is none: $GOLDEN_DIR, else ../shared/golden. */
export const GOLDEN = [process.env['GOLDEN_DIR'], join(PROJECT, '..', 'shared', 'golden')].find((folder) => folder !== undefined && existsSync(folder))

/** For `{ skip }` of a test that needs the golden data. */
export const SKIP_WITHOUT_GOLDEN = GOLDEN === undefined ? 'no golden data ($GOLDEN_DIR or ../shared/golden)' : false

function findRoot(folder: string): string {
  return existsSync(join(folder, 'package.json')) ? folder : findRoot(dirname(folder))
}

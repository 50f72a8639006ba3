/** docs/architectures.md lists what the tables have; docs/adding-an-architecture.md shows a family as it is. */
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { architectureList } from './support/architecture-list.js'
import { PROJECT } from './support/paths.js'

const LIST = join(PROJECT, 'docs', 'architectures.md')

describe('documents about architectures', () => {
  it('list every architecture and class of the tables (UPDATE_DOCS=1 writes them)', () => {
    if (process.env['UPDATE_DOCS'] === '1') writeFileSync(LIST, architectureList())
    assert.equal(readFileSync(LIST, 'utf8'), architectureList())
  })

  it('show the rows of a real family', () => {
    const page = readFileSync(join(PROJECT, 'docs', 'adding-an-architecture.md'), 'utf8')
    const family = readFileSync(join(PROJECT, 'src', 'architectures', 'families', 'seed-oss.ts'), 'utf8')
    assert.ok(page.includes(family.slice(family.indexOf('import'))), 'docs/adding-an-architecture.md must show src/architectures/families/seed-oss.ts')
  })
})

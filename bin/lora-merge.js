#!/usr/bin/env node
import { loraMerge } from '../dist/src/cli/lora-merge.js'
import { main } from '../dist/src/cli/main.js'
process.exitCode = await main(loraMerge, process.argv.slice(2))

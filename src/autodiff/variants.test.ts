// Matrix products in every form they have, exhaustively: transposes, factors, biases that broadcast, batches that broadcast.
import { test } from "node:test";
import type { Value } from "../onnx/graph.js";
import * as ops from "../onnx/ops.js";
import type { Shape } from "../onnx/shape.js";
import { checkGradients } from "./gradient-check.test.support.js";

const SIZES = [
  { m: 3, k: 2, n: 4, batch: 2 },
  { m: 1, k: 3, n: 1, batch: 1 },
];
const FLAGS = [false, true] as const;
const BIASES: readonly (Shape | null)[] = [null, [], [1], ["n"], [1, "n"], ["m", 1], [1, 1], ["m", "n"]];
const turn = (shape: readonly string[], turned: boolean): Shape => (turned ? [...shape].reverse() : shape);

for (const transA of FLAGS) {
  for (const transB of FLAGS) {
    test(`Gemm, transA ${transA}, transB ${transB}: every bias, with factors and without`, async () => {
      for (const bias of BIASES) {
        for (const [alpha, beta] of [
          [1, 1],
          [0.5, -2],
        ]) {
          const operands = [turn(["m", "k"], transA), turn(["k", "n"], transB), ...(bias ? [bias] : [])];
          await checkGradients(
            {
              operands: operands.map((shape) => ({ shape })),
              build: ([a, b, c]) => ops.gemm(a, b, c ?? null, { transA, transB, alpha, beta }),
              sizes: SIZES,
            },
            3,
          );
        }
      }
    });

    test(`FusedMatMul, transA ${transA}, transB ${transB}: batches on either side or both`, async () => {
      for (const [left, right] of BATCHES) {
        const operands = [
          { shape: [...left, ...turn(["m", "k"], transA)] },
          { shape: [...right, ...turn(["k", "n"], transB)] },
        ];
        for (const dtype of ["float32", "float64"] as const) {
          // In float64 `ops.fusedMatMul` spells the operator out.
          const build = ([a, b]: readonly Value[]) => ops.fusedMatMul(a, b, { transA, transB, alpha: 0.7 });
          await checkGradients({ operands, build, sizes: SIZES, dtype }, 5);
        }
      }
    });
  }
}

for (const transBatchA of FLAGS) {
  for (const transBatchB of FLAGS) {
    test(`FusedMatMul, rows before batches: left ${transBatchA}, right ${transBatchB}`, async () => {
      const lay = ([rows, columns]: Shape, apart: boolean): Shape =>
        apart ? [rows, "batch", columns] : ["batch", rows, columns];
      for (const transA of FLAGS) {
        for (const transB of FLAGS) {
          const operands = [
            { shape: lay(turn(["m", "k"], transA), transBatchA) },
            { shape: lay(turn(["k", "n"], transB), transBatchB) },
          ];
          const options = { transA, transB, transBatchA, transBatchB, alpha: 0.7 };
          for (const dtype of ["float32", "float64"] as const) {
            const build = ([a, b]: readonly Value[]) => ops.fusedMatMul(a, b, options);
            await checkGradients({ operands, build, sizes: SIZES, dtype }, 7);
          }
        }
      }
    });
  }
}

const BATCHES: readonly (readonly [Shape, Shape])[] = [
  [["batch"], ["batch"]],
  [["batch"], []],
  [[], ["batch"]],
  [["batch"], [1]],
  [[1], ["batch"]],
  [[2, "batch"], ["batch"]],
  [
    ["batch", 1],
    [1, 2],
  ],
];

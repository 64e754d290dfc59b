// The measures of one task as functions of how often each molecule counts, so that a bootstrap draw costs no sorting.

/** Values by name; NaN where a measure is not defined, such as ROC-AUC with labels of one class. */
export type Measures = Readonly<Record<string, number>>;

/** Measures one task; `weights` says how often each molecule counts (1 each outside of bootstraps). [n] */
export type Measure = (weights: Float64Array) => Measures;

/** Probabilities are kept this far from 0 and 1 in logarithms: the resolution of the float32 they come from. */
const PROBABILITY_FLOOR = 1e-7;
/** Equal-width bins of the expected calibration error (Guo et al. 2017, arXiv 1706.04599). */
const CALIBRATION_BINS = 15;

/** Numbers of the rows in ascending order of value, and where each group of equal values ends. */
interface Ranking {
  readonly order: Int32Array;
  readonly groupEnds: Int32Array;
}

function rank(rows: Int32Array, value: (row: number) => number): Ranking {
  const order = rows.slice().sort((a, b) => value(a) - value(b) || a - b);
  const groupEnds: number[] = [];
  for (let i = 1; i <= order.length; i++)
    if (i === order.length || value(order[i]) !== value(order[i - 1])) groupEnds.push(i);
  return { order, groupEnds: Int32Array.from(groupEnds) };
}

/** Area under the ROC curve with ties at half, and average precision; both NaN unless both classes are there. */
function rankingMeasure({ order, groupEnds }: Ranking, isPositive: (row: number) => boolean) {
  const positive = Uint8Array.from(order, (row) => (isPositive(row) ? 1 : 0));
  return (weights: Float64Array) => {
    let [positives, negatives] = [0, 0];
    for (let i = 0; i < order.length; i++) {
      if (positive[i]) positives += weights[order[i]];
      else negatives += weights[order[i]];
    }
    if (positives === 0 || negatives === 0) return { "roc-auc": Number.NaN, "pr-auc": Number.NaN };
    let [ordered, precisionSum, above, abovePositives] = [0, 0, 0, 0];
    for (let group = groupEnds.length - 1; group >= 0; group--) {
      let [hits, misses] = [0, 0];
      for (let i = group > 0 ? groupEnds[group - 1] : 0; i < groupEnds[group]; i++) {
        if (positive[i]) hits += weights[order[i]];
        else misses += weights[order[i]];
      }
      ordered += misses * (abovePositives + hits / 2);
      above += hits + misses;
      abovePositives += hits;
      if (above > 0) precisionSum += (hits * abovePositives) / above;
    }
    return { "roc-auc": ordered / (positives * negatives), "pr-auc": precisionSum / positives };
  };
}

interface Answers {
  /** Of the labelled rows. */
  readonly rows: Int32Array;
  /** Probability of the answer that is given. */
  readonly confidence: (row: number) => number;
  /** Whether what the confidence is of is so. */
  readonly holds: (row: number) => boolean;
  readonly right: (row: number) => boolean;
  /** Probability of the right answer. */
  readonly ofRight: (row: number) => number;
}

/**
 * accuracy, log-loss, and calibration-error: the mean over bins of |mean confidence - share that is right|, weighted by their
 * sizes. All that does not depend on the weights is computed once.
 */
function answerMeasure({ rows, confidence, holds, right, ofRight }: Answers) {
  const isRight = Uint8Array.from(rows, (row) => (right(row) ? 1 : 0));
  const losses = Float64Array.from(rows, (row) => logarithm(ofRight(row)));
  const bins = Uint8Array.from(rows, (row) =>
    Math.min(CALIBRATION_BINS - 1, Math.floor(confidence(row) * CALIBRATION_BINS)),
  );
  const excess = Float64Array.from(rows, (row) => confidence(row) - (holds(row) ? 1 : 0));
  const gap = new Float64Array(CALIBRATION_BINS);
  return (weights: Float64Array) => {
    let [correct, loss, total] = [0, 0, 0];
    gap.fill(0);
    for (let i = 0; i < rows.length; i++) {
      const weight = weights[rows[i]];
      total += weight;
      if (isRight[i]) correct += weight;
      loss -= weight * losses[i];
      gap[bins[i]] += weight * excess[i];
    }
    let away = 0;
    for (const value of gap) away += Math.abs(value);
    return { accuracy: correct / total, "log-loss": loss / total, "calibration-error": away / total };
  };
}

const logarithm = (probability: number) =>
  Math.log(Math.min(1 - PROBABILITY_FLOOR, Math.max(PROBABILITY_FLOOR, probability)));

function labelledRows(molecules: number, label: (row: number) => number): Int32Array {
  return Int32Array.from({ length: molecules }, (_, row) => row).filter((row) => !Number.isNaN(label(row)));
}

/**
 * roc-auc, pr-auc (average precision), accuracy at 0.5, log-loss in nats, calibration-error.
 * @param probability of class 1
 * @param label 0, 1 or NaN
 */
export function binaryMeasure(
  molecules: number,
  probability: (row: number) => number,
  label: (row: number) => number,
): Measure {
  const rows = labelledRows(molecules, label);
  const positive = (row: number) => label(row) === 1;
  const areas = rankingMeasure(rank(rows, probability), positive);
  const answers = answerMeasure({
    ...{ rows, confidence: probability, holds: positive },
    right: (row) => probability(row) >= 0.5 === positive(row),
    ofRight: (row) => (positive(row) ? probability(row) : 1 - probability(row)),
  });
  return (weights) => ({ ...areas(weights), ...answers(weights) });
}

/** Ranks from 1, the mean rank where values are equal, of a sample in which each row counts `weights` times. */
function fillRanks({ order, groupEnds }: Ranking, weights: Float64Array, ranks: Float64Array): void {
  let before = 0;
  let first = 0;
  for (const end of groupEnds) {
    let size = 0;
    for (let i = first; i < end; i++) size += weights[order[i]];
    for (let i = first; i < end; i++) ranks[order[i]] = before + (size + 1) / 2;
    before += size;
    first = end;
  }
}

function correlation(rows: Int32Array, x: Float64Array, y: Float64Array, weights: Float64Array): number {
  let [total, sumX, sumY] = [0, 0, 0];
  for (const row of rows) {
    total += weights[row];
    sumX += weights[row] * x[row];
    sumY += weights[row] * y[row];
  }
  let [xx, yy, xy] = [0, 0, 0];
  for (const row of rows) {
    const [dx, dy] = [x[row] - sumX / total, y[row] - sumY / total];
    xx += weights[row] * dx * dx;
    yy += weights[row] * dy * dy;
    xy += weights[row] * dx * dy;
  }
  return xx > 0 && yy > 0 ? xy / Math.sqrt(xx * yy) : Number.NaN;
}

/** rmse and mae in the units of the labels, r2 (coefficient of determination), spearman (ties share their mean rank). */
export function regressionMeasure(
  molecules: number,
  prediction: (row: number) => number,
  label: (row: number) => number,
): Measure {
  const rows = labelledRows(molecules, label);
  const rankings = [rank(rows, prediction), rank(rows, label)];
  const ranks = [new Float64Array(molecules), new Float64Array(molecules)];
  const labels = Float64Array.from(rows, label);
  const errors = Float64Array.from(rows, (row) => prediction(row) - label(row));
  return (weights) => {
    let [squares, absolute, total, sum] = [0, 0, 0, 0];
    for (let i = 0; i < rows.length; i++) {
      const weight = weights[rows[i]];
      squares += weight * errors[i] * errors[i];
      absolute += weight * Math.abs(errors[i]);
      total += weight;
      sum += weight * labels[i];
    }
    let spread = 0;
    for (let i = 0; i < rows.length; i++) spread += weights[rows[i]] * (labels[i] - sum / total) ** 2;
    for (const [i, ranking] of rankings.entries()) fillRanks(ranking, weights, ranks[i]);
    return {
      rmse: Math.sqrt(squares / total),
      mae: absolute / total,
      r2: spread > 0 ? 1 - squares / spread : Number.NaN,
      spearman: correlation(rows, ranks[0], ranks[1], weights),
    };
  };
}

/**
 * accuracy, roc-auc (mean over classes of one against the rest), log-loss, calibration-error of the class predicted.
 * @param probability of a class; a row's sum to 1
 * @param label number of a class, or NaN
 */
export function classesMeasure(
  molecules: number,
  classes: number,
  probability: (row: number, which: number) => number,
  label: (row: number) => number,
): Measure {
  const rows = labelledRows(molecules, label);
  const best = new Int32Array(molecules);
  for (const row of rows)
    for (let which = 1; which < classes; which++)
      if (probability(row, which) > probability(row, best[row])) best[row] = which;
  const areas = Array.from({ length: classes }, (_, which) =>
    rankingMeasure(
      rank(rows, (row) => probability(row, which)),
      (row) => label(row) === which,
    ),
  );
  const isRight = (row: number) => best[row] === label(row);
  const answers = answerMeasure({
    ...{ rows, confidence: (row) => probability(row, best[row]), holds: isRight, right: isRight },
    ofRight: (row) => probability(row, label(row)),
  });
  return (weights) => {
    const area = meanOfDefined(areas.map((measure) => measure(weights)["roc-auc"]));
    const { accuracy, ...others } = answers(weights);
    return { accuracy, "roc-auc": area, ...others };
  };
}

/** Mean of the values that are not NaN (the reference's nan-mean); NaN where there are none. */
export function meanOfDefined(values: readonly number[]): number {
  let [sum, count] = [0, 0];
  for (const value of values) {
    if (Number.isNaN(value)) continue;
    sum += value;
    count++;
  }
  return sum / count;
}

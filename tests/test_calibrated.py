import numpy as np

from galgen.compare.calibrated import prdc


def test_precision_and_recall_are_those_of_sets_whose_answer_is_known():
    def of(x, y):
        both = np.concatenate([x, y])
        D = np.abs(both - both.T)
        n = len(x)
        return prdc(D[n:, :n], D[:n, :n], D[n:, n:])

    line = np.arange(60.0)[:, None]
    precision, recall, density, coverage = of(line, line)
    assert (precision, recall, coverage) == (1, 1, 1) and 1 < density < 1.5  # 5 neighbours, itself and ties
    half, whole = line[:30], line
    precision, recall, _, coverage = of(half, whole)  # all that is drawn is real, half of the real is drawn
    assert precision == 1 and 0.5 <= recall <= 0.6 and 0.5 <= coverage <= 0.6
    assert of(line + 1000, line) == (0, 0, 0, 0)

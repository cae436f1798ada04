"""Trains a small classifier of handwritten digits, logs each epoch, and plots how it went."""

import time

from digits.data import load
from digits.model import Classifier
from digits.plot import curve

EPOCHS = 8


def main() -> None:
    train, test = load()
    classifier = Classifier()
    scores = []
    for epoch in range(1, EPOCHS + 1):
        loss = classifier.learn(*train)
        score = classifier.score(*test)
        scores.append(score)
        print(f"epoch {epoch}: loss {loss:.3f}, {score:.1%} right", flush=True)
        time.sleep(0.05)
    curve(scores, "runs/accuracy.svg")
    print("plotted to runs/accuracy.svg")


if __name__ == "__main__":
    main()

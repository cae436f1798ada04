"""A linear classifier, learned step by step."""

import numpy
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import log_loss

RATE = 0.002


class Classifier:
    def __init__(self):
        self.model = SGDClassifier(
            loss="log_loss", learning_rate="constant", eta0=RATE, random_state=7
        )

    def learn(self, images, labels):
        """One pass over the images; returns the loss after it."""
        classes = numpy.unique(labels)
        self.model.partial_fit(images, labels, classes=classes)
        loss = log_loss(labels, self.model.predict_proba(images), labels=classes)
        return float(loss)

    def score(self, images, labels):
        return float(self.model.score(images, labels))

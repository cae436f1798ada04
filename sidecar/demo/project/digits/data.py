"""The data set: 1,797 images of 8 × 8 pixels that scikit-learn carries with it."""

from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split


def load():
    """Images and labels, for learning and for testing."""
    digits = load_digits()
    images = digits.data / 16.0
    learn, test, learn_labels, test_labels = train_test_split(
        images, digits.target, test_size=0.3, random_state=7
    )
    return (learn, learn_labels), (test, test_labels)

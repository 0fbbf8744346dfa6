"""Raw dialogs to a training dataset: everything before the first gradient, without TensorFlow."""

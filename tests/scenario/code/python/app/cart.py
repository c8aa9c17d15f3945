import json
import os.path as path
from flask import Flask, jsonify
from . import price
from .base import (
    Base,
)

app = Flask(__name__)


@app.route("/cart")  # def not_one(): pass
@cached(
    seconds=3)
def show_cart():
    """def not_two(): pass"""
    return jsonify(price.total([]))


async def fetch(url): return url


class Cart(Base, metaclass=Meta):
    def __init__(self):
        self.items = []

    @property
    def size(self):
        def count(items):
            return len(items)
        return count(self.items)

    def _hidden(self):
        pass


class _Private:
    def method(self):
        pass

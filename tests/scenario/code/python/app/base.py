from app import cart


class Base:
    pass

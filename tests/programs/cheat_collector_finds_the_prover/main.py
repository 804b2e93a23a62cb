import gc
import types

for item in gc.get_objects():
    if isinstance(item, types.FunctionType) and item.__closure__ and not item.__code__.co_argcount:
        for cell in item.__closure__:
            try:
                content = cell.cell_contents
            except ValueError:
                continue
            if isinstance(content, bytes) and len(content) >= 16:
                item()

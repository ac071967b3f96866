"""Vector code that Numba does not write by itself: weighted sums of channels, and requests to the cache."""

from typing import Any

from numba import types
from numba.core.cgutils import ir  # type: ignore[attr-defined]
from numba.extending import intrinsic


def _weighted_sum(typing: Any, out: Any, to: Any, source: Any, corners: Any, weights: Any, lanes: Any) -> Any:
    """Emit ``out[to:to + n] = sum(w * source[at:at + n])`` as vector code, n being the length of `lanes`.

    numba alone leaves such short loops scalar, because it cannot rule out that `out` and `source` overlap.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        scalar = context.get_data_type(source.dtype)
        vector, width = ir.VectorType(scalar, len(lanes)), context.get_abi_sizeof(scalar)
        index = ir.IntType(32)
        empty, zeros = ir.Constant(vector, ir.Undefined), ir.Constant(ir.VectorType(index, len(lanes)), None)

        def pointer(kind: Any, array: Any, at: Any) -> Any:
            data = context.make_array(kind)(context, builder, array).data
            return builder.bitcast(builder.gep(data, [at]), vector.as_pointer())

        total = ir.Constant(vector, None)
        for i in range(len(weights)):
            weight = builder.insert_element(empty, builder.extract_value(args[4], i), index(0))
            value = builder.load(pointer(source, args[2], builder.extract_value(args[3], i)), align=width)
            term = builder.fmul(builder.shuffle_vector(weight, empty, zeros), value, flags=("contract",))
            total = builder.fadd(total, term, flags=("contract", "nsz"))
        builder.store(total, pointer(out, args[0], args[1]), align=width)
        return context.get_dummy_value()

    return types.void(out, to, source, corners, weights, lanes), generate


def _touch(typing: Any, array: Any, at: Any) -> Any:
    """Emit a request to have an element of an array in the cache soon; any address will do."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(array)(context, builder, args[0]).data
        byte, index = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, index, index, index])
        prefetch = builder.module.declare_intrinsic("llvm.prefetch", [byte], kind)
        address = builder.bitcast(builder.gep(data, [args[1]]), byte)
        builder.call(prefetch, [address, index(0), index(3), index(1)])
        return context.get_dummy_value()

    return types.void(array, at), generate


blend: Any = intrinsic(_weighted_sum)
prefetch: Any = intrinsic(_touch)

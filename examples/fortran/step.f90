! Ten steps of a model, from a series made here.
!
!     gfortran cylstm.f90 step.f90 $(cylstm config --libs) -o step
!     ./step model.safetensors
program step
  use cylstm
  implicit none
  type(c_ptr) :: model, state
  character(len=1000) :: path
  character(kind=c_char) :: message(200)
  real(c_float), allocatable :: x(:), y(:)
  integer :: t, i

  call get_command_argument(1, path)
  if (cylstm_load(trim(path)//c_null_char, c_null_ptr, model, message, size(message, kind=c_size_t)) /= cylstm_ok) then
     print '(200a)', (message(i), i = 1, index_of_null())
     error stop 1
  end if
  if (cylstm_state_new(model, c_null_ptr, state) /= cylstm_ok) error stop 'no memory for a state'
  allocate (x(cylstm_input_width(model)), y(cylstm_output_width(model)))
  do t = 0, 9
     do i = 1, size(x)
        x(i) = 0.1 * real(mod(t * size(x) + i - 1, 7))
     end do
     if (cylstm_step(state, x, y) /= cylstm_ok) error stop 'a step failed'
     print '(es16.8)', y(1)
  end do
  call cylstm_state_free(state)
  call cylstm_model_free(model)

contains

  integer function index_of_null()
    do index_of_null = 0, size(message) - 1
       if (message(index_of_null + 1) == c_null_char) return
    end do
  end function index_of_null
end program step
